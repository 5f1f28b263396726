"""The shop's handlers: plain boto3 code that works unchanged on AWS and locally."""
