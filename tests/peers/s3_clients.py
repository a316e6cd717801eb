"""s3_clients.py aliyun-oss|tencent-cos|jd-oss ENDPOINT KEY SECRET BUCKET: the official client of a service, at a front that plays it.

Ends well only if all is as the client wants it, and what has to be refused is.
"""

import os
import sys

PART = 5 * 1024 * 1024
BIG = os.urandom(2 * PART + 77)
NAME = "dir/\u00e9 b+c&d=1.txt"


def expect(what, is_so):
    if not is_so:
        sys.exit(f"not so: {what}")


def refused(what, call, error, status):
    try:
        call()
    except error as problem:
        told = getattr(problem, "unwrap", lambda: problem)()
        found = getattr(told, "status_code", None) or problem.get_status_code()
        expect(f"{what} is refused with {status}, not {found}", found == status)
    else:
        sys.exit(f"{what} isn't refused")


def try_oss(endpoint, key, secret, bucket):
    import alibabacloud_oss_v2 as oss

    def client(secret, version):
        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(key, secret)
        config.region, config.endpoint, config.use_path_style = "cn-hangzhou", endpoint, True
        config.signature_version, config.retry_max_attempts = version, 1
        return oss.Client(config)

    for version in ("v4", "v1"):
        it = client(secret, version)
        put = it.put_object(oss.PutObjectRequest(bucket=bucket, key=NAME, body=b"hello", metadata={"mtime": "1.5"}))
        expect("an ETag is an MD5 in capitals", put.etag == '"5D41402ABC4B2A76B9719D911017C592"')
        head = it.head_object(oss.HeadObjectRequest(bucket=bucket, key=NAME))
        expect("metadata is kept", head.metadata["mtime"] == "1.5" and head.content_length == 5)
        expect("its kind is told", head.object_type == "Normal")
        get = it.get_object(oss.GetObjectRequest(bucket=bucket, key=NAME, range_header="bytes=1-3", range_behavior="standard"))
        expect("a range is read", get.body.read() == b"ell")
        listed = it.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, prefix="dir/", encoding_type="url")).contents
        expect("it is listed", [(each.key, each.object_type) for each in listed] == [(NAME, "Normal")])

        begun = it.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=bucket, key="big")).upload_id
        parts = []
        for number in range(3):
            body = BIG[number * PART : (number + 1) * PART]
            sent = it.upload_part(oss.UploadPartRequest(bucket=bucket, key="big", upload_id=begun, part_number=number + 1, body=body))
            parts.append(oss.UploadPart(part_number=number + 1, etag=sent.etag))
        joined = oss.CompleteMultipartUpload(parts=parts)
        it.complete_multipart_upload(
            oss.CompleteMultipartUploadRequest(bucket=bucket, key="big", upload_id=begun, complete_multipart_upload=joined)
        )
        expect("parts are joined", it.get_object(oss.GetObjectRequest(bucket=bucket, key="big")).body.read() == BIG)
        pages = list(it.list_objects_v2_paginator().iter_page(oss.ListObjectsV2Request(bucket=bucket, max_keys=1, encoding_type="url")))
        kinds = [(each.key, each.object_type) for page in pages for each in page.contents or []]
        expect("pages follow each other", kinds == [("big", "Multipart"), (NAME, "Normal")])

        copied = "copy \u00e9"
        it.copy_object(oss.CopyObjectRequest(bucket=bucket, key=copied, source_bucket=bucket, source_key=NAME))
        expect("a copy is the same", it.get_object(oss.GetObjectRequest(bucket=bucket, key=copied)).body.read() == b"hello")
        over = oss.PutObjectRequest(bucket=bucket, key=copied, body=b"x", forbid_overwrite=True)
        refused("overwriting", lambda: it.put_object(over), oss.exceptions.OperationError, 409)
        cold = oss.PutObjectRequest(bucket=bucket, key="cold", body=b"x", storage_class="Archive")
        it.put_object(cold)
        get = lambda: it.get_object(oss.GetObjectRequest(bucket=bucket, key="cold"))
        refused("reading from an archive", get, oss.exceptions.OperationError, 403)
        doomed = [oss.DeleteObject(key=each) for each in (copied, "cold", "nothing", "big", NAME)]
        gone = it.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket=bucket, objects=doomed)).deleted_objects
        expect("all are removed", len(gone) == 5)
        bad = client("wrong", version)
        head = lambda: bad.head_object(oss.HeadObjectRequest(bucket=bucket, key=NAME))
        refused("a wrong secret", head, oss.exceptions.OperationError, 403)


def try_cos(endpoint, key, secret, bucket):
    import qcloud_cos

    def client(secret):
        address = endpoint.removeprefix("http://")
        config = qcloud_cos.CosConfig(Region="ap-guangzhou", SecretId=key, SecretKey=secret, Scheme="http", IP=address)
        return qcloud_cos.CosS3Client(config, retry=0)

    it, here = client(secret), {"Bucket": bucket}
    read = lambda name, **more: it.get_object(**here, Key=name, **more)["Body"].get_raw_stream().read()
    put = it.put_object(**here, Key=NAME, Body=b"hello", Metadata={"x-cos-meta-mtime": "1.5"}, EnableMD5=True)
    expect("an ETag is an MD5", put["ETag"] == '"5d41402abc4b2a76b9719d911017c592"')
    head = it.head_object(**here, Key=NAME)
    expect("metadata is kept", head["x-cos-meta-mtime"] == "1.5" and head["Content-Length"] == "5")
    expect("a range is read", read(NAME, Range="bytes=1-3") == b"ell")
    listed = it.list_objects(**here, Prefix="dir/")["Contents"]
    expect("it is listed", [each["Key"] for each in listed] == [NAME])

    begun = it.create_multipart_upload(**here, Key="big")["UploadId"]
    parts = []
    for number in range(3):
        body = BIG[number * PART : (number + 1) * PART]
        sent = it.upload_part(**here, Key="big", Body=body, PartNumber=number + 1, UploadId=begun)
        parts.append({"PartNumber": number + 1, "ETag": sent["ETag"]})
    it.complete_multipart_upload(**here, Key="big", UploadId=begun, MultipartUpload={"Part": parts})
    expect("parts are joined", read("big") == BIG)
    first = it.list_objects(**here, MaxKeys=1)
    expect("a listing breaks off", first["IsTruncated"] == "true" and [each["Key"] for each in first["Contents"]] == ["big"])
    second = it.list_objects(**here, MaxKeys=1, Marker="big")
    expect("and goes on after a key", second["IsTruncated"] == "false" and [each["Key"] for each in second["Contents"]] == [NAME])

    source, copied = {"Bucket": bucket, "Key": NAME, "Region": "ap-guangzhou"}, "copy \u00e9"
    it.copy_object(**here, Key=copied, CopySource=source)
    expect("a copy is the same", read(copied) == b"hello")
    error = qcloud_cos.CosServiceError
    over = {"x-cos-forbid-overwrite": "true"}
    refused("overwriting", lambda: it.put_object(**here, Key=copied, Body=b"x", Metadata=over), error, 409)
    it.put_object(**here, Key="cold", Body=b"x", StorageClass="ARCHIVE")
    refused("reading from an archive", lambda: read("cold"), error, 403)
    doomed = [{"Key": each} for each in (copied, "cold", "nothing", "big", NAME)]
    expect("all are removed", len(it.delete_objects(**here, Delete={"Object": doomed})["Deleted"]) == 5)
    refused("a wrong secret", lambda: client("wrong").head_object(**here, Key=NAME), error, 403)


def try_jd(endpoint, key, secret, bucket):
    import boto3
    import botocore.config
    import botocore.exceptions

    def client(secret):
        config = botocore.config.Config(
            request_checksum_calculation="when_required", response_checksum_validation="when_required", s3={"addressing_style": "path"}
        )
        keys = {"aws_access_key_id": key, "aws_secret_access_key": secret}
        return boto3.client("s3", endpoint_url=endpoint, region_name="cn-north-1", config=config, **keys)

    def status(call):
        try:
            call()
        except botocore.exceptions.ClientError as problem:
            return problem.response["ResponseMetadata"]["HTTPStatusCode"]

    it, here = client(secret), {"Bucket": bucket}
    for _ in range(2):
        # A condition is ignored.
        it.put_object(**here, Key=NAME, Body=b"hello", Metadata={"mtime": "1.5"}, IfNoneMatch="*")
    expect("metadata is kept", it.head_object(**here, Key=NAME)["Metadata"] == {"mtime": "1.5"})
    expect("a range is read", it.get_object(**here, Key=NAME, Range="bytes=1-3")["Body"].read() == b"ell")
    expect("it is listed", [each["Key"] for each in it.list_objects_v2(**here)["Contents"]] == [NAME])
    it.copy_object(**here, Key="copy", CopySource={"Bucket": bucket, "Key": NAME})
    expect("the first version of listings is unknown", status(lambda: it.list_objects(**here)) == 501)
    expect("versioning is unknown", status(lambda: it.get_bucket_versioning(**here)) == 501)
    expect("there are two classes", status(lambda: it.put_object(**here, Key="cold", Body=b"", StorageClass="GLACIER")) == 400)
    doomed = {"Objects": [{"Key": each} for each in ("copy", NAME)]}
    expect("all are removed", len(it.delete_objects(**here, Delete=doomed)["Deleted"]) == 2)
    expect("a wrong secret is refused", status(lambda: client("wrong").head_object(**here, Key=NAME)) == 403)


{"aliyun-oss": try_oss, "tencent-cos": try_cos, "jd-oss": try_jd}[sys.argv[1]](*sys.argv[2:])
