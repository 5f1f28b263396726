"""Sessions, clients, fault codes, waiting, throttling: the only home of boto3 for deploying."""
