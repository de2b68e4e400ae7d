"""What the drivers are compared with: Microsoft's and Google's own clients.

    clients.py sign-azure    reads requests as JSON from standard input, prints the Authorization header of each
    clients.py sign-google   reads {"key_file", "message"}, prints the signature in base64
    clients.py azure URL KEY CONTAINER
    clients.py gcs URL KEY-FILE BUCKET
                             use the server as people do, and fail where it is none
"""
import base64
import datetime
import io
import json
import sys

NAMES = ["a", "d/x y", "d/\u00e9", "d/new\nline", "d/e/f", "d/per%20cent", "d/a+b&c<d>"]
CONTENT = bytes(range(256)) * 20000


def sign_azure():
    from azure.storage.blob._shared.authentication import SharedKeyCredentialPolicy

    signatures = []
    for case in json.load(sys.stdin):
        policy = SharedKeyCredentialPolicy(case["account"], case["key"])
        # What the policy wants of a request in its pipeline.
        request = type("Request", (), {})()
        request.method, request.url, request.headers = case["method"], case["url"], dict(case["headers"])
        request.body = case["body"]
        request.query = dict(case["query"])
        if case["body"]:
            request.headers["Content-Length"] = str(len(case["body"].encode()))
        context = type("Context", (), {"transport": None})()
        wrapper = type("PipelineRequest", (), {"http_request": request, "context": context})()
        policy.on_request(wrapper)
        signatures.append(request.headers["Authorization"])
    json.dump(signatures, sys.stdout)


def sign_google():
    from google.auth import crypt

    case = json.load(sys.stdin)
    signer = crypt.RSASigner.from_service_account_file(case["key_file"])
    print(base64.b64encode(signer.sign(case["message"])).decode(), end="")


def sas(account, container, key, permissions, hours):
    from azure.storage.blob import generate_container_sas

    expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    return generate_container_sas(account, container, key, permission=permissions, expiry=expiry)


def azure(url, key, container):
    from azure.core.exceptions import HttpResponseError, ResourceExistsError
    from azure.storage.blob import BlobServiceClient, ContainerClient

    service = BlobServiceClient(url, credential=key, max_single_put_size=1000000, max_block_size=500000)
    client = service.create_container(container)
    for name in NAMES:
        client.upload_blob(name, name.encode())
    assert [blob.name for blob in client.list_blobs()] == sorted(NAMES)
    assert sorted(blob.name for blob in client.walk_blobs("d/")) == sorted(
        ["d/e/"] + [name for name in NAMES if name.startswith("d/") and name != "d/e/f"])
    client.upload_blob("big", CONTENT)
    assert client.download_blob("big").readall() == CONTENT
    assert client.download_blob("big", offset=100, length=50).readall() == CONTENT[100:150]
    try:
        client.upload_blob("a", b"2")
        raise SystemExit("a blob was created twice")
    except ResourceExistsError:
        pass
    client.upload_blob("a", b"3", overwrite=True)
    client.delete_blob("a")
    kept = [blob for blob in client.list_blobs(include=["versions"]) if blob.name == "a"]
    assert [client.download_blob("a", version_id=blob.version_id).readall() for blob in kept] == [b"a", b"3"]
    assert not any(blob.is_current_version for blob in kept) and kept[0].last_modified <= kept[1].last_modified
    tree = client.walk_blobs("d/", include=["versions"])
    assert sorted(blob.name for blob in tree if blob.get("is_current_version") or blob.name == "d/e/") == sorted(
        ["d/e/"] + [name for name in NAMES if name.startswith("d/") and name != "d/e/f"])
    account = url.rsplit("/", 1)[1]
    guest = ContainerClient(url, container, credential=sas(account, container, key, "rl", 1))
    assert guest.download_blob("d/e/f").readall() == b"d/e/f"
    assert "a" not in [blob.name for blob in guest.list_blobs()]
    for permissions, hours in [("rl", 1), ("rwdl", -1)]:
        try:
            ContainerClient(url, container, credential=sas(account, container, key, permissions, hours)).upload_blob("x", b"")
            raise SystemExit("a shared access signature was stretched")
        except HttpResponseError as error:
            assert error.status_code == 403, error
    try:
        ContainerClient(url, container, credential=base64.b64encode(b"wrong").decode()).get_container_properties()
        raise SystemExit("a wrong key was taken")
    except HttpResponseError as error:
        assert error.status_code == 403, error


def gcs(url, key_file, bucket):
    from google.api_core.exceptions import PreconditionFailed
    from google.cloud import storage
    from google.oauth2 import service_account

    credentials = service_account.Credentials.from_service_account_file(key_file)
    client = storage.Client(project="p", credentials=credentials, client_options={"api_endpoint": url})
    box = client.bucket(bucket)
    for name in NAMES:
        box.blob(name).upload_from_string(name)
    assert [blob.name for blob in client.list_blobs(bucket)] == sorted(NAMES)
    pages = client.list_blobs(bucket, prefix="d/", delimiter="/")
    assert [blob.name for blob in pages] == sorted(name for name in NAMES if name.startswith("d/") and name != "d/e/f")
    assert pages.prefixes == {"d/e/"}
    box.blob("big", chunk_size=1 << 20).upload_from_file(io.BytesIO(CONTENT))
    assert box.blob("big").download_as_bytes() == CONTENT
    assert box.blob("big").download_as_bytes(start=100, end=149) == CONTENT[100:150]
    box.blob("new").upload_from_string("1", if_generation_match=0)
    try:
        box.blob("new").upload_from_string("2", if_generation_match=0)
        raise SystemExit("an object was created twice")
    except PreconditionFailed:
        pass
    with client.batch():
        box.blob("new").delete()
        box.blob("a").delete()
    assert not {"new", "a"} & {blob.name for blob in client.list_blobs(bucket)}
    box.blob("a").upload_from_string("3")
    kept = [blob for blob in client.list_blobs(bucket, versions=True) if blob.name == "a"]
    assert [box.blob("a", generation=blob.generation).download_as_bytes() for blob in kept] == [b"a", b"3"]
    assert kept[0].time_created < kept[0].time_deleted <= kept[1].time_created and kept[1].time_deleted is None


if __name__ == "__main__":
    commands = {"sign-azure": sign_azure, "sign-google": sign_google, "azure": azure, "gcs": gcs}
    if sys.argv[1] == "sas":
        print(sas(*sys.argv[2:6], int(sys.argv[6])), end="")
    else:
        commands[sys.argv[1]](*sys.argv[2:])
