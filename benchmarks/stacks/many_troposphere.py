"""The same functions as one CloudFormation template, built and written by troposphere."""

# troposphere's own types know neither GetAtt nor the template's limits.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import os
from typing import Any, cast

import troposphere
from troposphere import GetAtt, Template, awslambda, iam, logs, sqs

cast(Any, troposphere).MAX_RESOURCES = 1_000_000

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}

template: Any = Template()
for number in range(int(os.environ.get("MANY", "1000"))):
    queue: Any = template.add_resource(sqs.Queue(f"Jobs{number}", VisibilityTimeout=180))
    group: Any = template.add_resource(
        logs.LogGroup(f"Logs{number}", LogGroupName=f"/aws/lambda/many-dev-worker-{number}")
    )
    reads = {
        "Effect": "Allow",
        "Action": ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
        "Resource": [GetAtt(queue, "Arn")],
    }
    writes = {
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": [GetAtt(group, "Arn")],
    }
    rights = {"Version": "2012-10-17", "Statement": [reads, writes]}
    role: Any = template.add_resource(
        iam.Role(
            f"Role{number}",
            AssumeRolePolicyDocument=TRUST,
            Policies=[iam.Policy(PolicyName="rights", PolicyDocument=rights)],
        )
    )
    function: Any = template.add_resource(
        awslambda.Function(
            f"Worker{number}",
            Handler="worker.handler",
            Runtime="python3.13",
            Timeout=30,
            Role=GetAtt(role, "Arn"),
            Code=awslambda.Code(S3Bucket="bucket", S3Key="key"),
        )
    )
    template.add_resource(
        awslambda.EventSourceMapping(
            f"Mapping{number}",
            EventSourceArn=GetAtt(queue, "Arn"),
            FunctionName=GetAtt(function, "Arn"),
            BatchSize=10,
        )
    )
text = template.to_json()
