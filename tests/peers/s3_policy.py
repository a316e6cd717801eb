"""s3_policy.py ENDPOINT USER PASSWORD NAME BUCKET ACTION...: a user of Amazon's IAM, as moto has it, who may do no more than
these actions in the bucket. Prints the ID and the secret of a key.
"""

import json
import sys

import boto3

endpoint, user, password, name, bucket, *actions = sys.argv[1:]
iam = boto3.client("iam", "us-east-1", endpoint_url=endpoint, aws_access_key_id=user, aws_secret_access_key=password)
resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": resources}}
iam.create_user(UserName=name)
iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=json.dumps(policy))
key = iam.create_access_key(UserName=name)["AccessKey"]
print(key["AccessKeyId"], key["SecretAccessKey"])
