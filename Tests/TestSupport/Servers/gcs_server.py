"""Google Cloud Storage's JSON API on this machine, as far as backups use it, and the services that give tokens for it.

Written from Google's description of the protocol, not from our driver. The emulators that there are know no pages or no
conditions, and none looks at tokens; this one does. The tests let Google's own client and rclone loose on it before
they let it judge our driver.

    gcs_server.py PORT --bucket NAME --key-file FILE [--token TOKEN] [--token-lifetime SECONDS] [--page-size N]
        [--grudging] [--versions] [--cert FILE --cert-key FILE]

FILE becomes the key file of a service account that this server gives tokens to. A grudging server takes the first half
of what it is sent in parts. With --versions buckets keep what was replaced or deleted.
"""

import argparse
import base64
import collections
import datetime
import email.parser
import hashlib
import http.server
import json
import re
import ssl
import sys
import threading
import time
import urllib.parse
import uuid

import google.auth.jwt
import google_crc32c
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Object = collections.namedtuple("Object", "content generation updated metadata deleted", defaults=[None])
Upload = collections.namedtuple("Upload", "bucket name conditions metadata parts")

UNIT = 256 << 10
# Google's own client says this, whatever the key file names.
AUDIENCES = ["https://oauth2.googleapis.com/token"]


class Refusal(Exception):
    def __init__(self, status, reason, message):
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class State:
    def __init__(self):
        self.lock = threading.Lock()
        self.buckets = {}  # name -> {object name: Object}
        self.past = {}  # (bucket, object name) -> [Object], the oldest first
        self.uploads = {}  # id -> Upload
        self.tokens = {}  # token -> when it ends
        self.generation = int(time.time() * 1_000_000)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    options = state = certificate = None
    # An answer must not wait for the acknowledgement of its head.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, form, *arguments):
        sys.stderr.write(f"{self.command} {self.path} {form % arguments}\n")

    def serve(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            raw, _, query = self.path.partition("?")
            query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
            if raw == "/token":
                answer = self.token_for_assertion(body)
            elif raw.startswith("/computeMetadata/"):
                answer = self.token_of_machine(raw)
            else:
                self.authorize()
                if raw == "/batch/storage/v1":
                    answer = self.batch(body)
                else:
                    with self.state.lock:
                        answer = self.act(self.command, raw, query, body)
            self.answer(*answer)
        except Refusal as refusal:
            self.answer(*self.refusal(refusal))

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = do_PATCH = serve

    def refusal(self, refusal):
        error = {"message": refusal.message, "domain": "global", "reason": refusal.reason}
        text = json.dumps({"error": {"code": refusal.status, "message": refusal.message, "errors": [error]}})
        return refusal.status, {"Content-Type": "application/json"}, text.encode()

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        self.send_header("X-GUploader-UploadID", uuid.uuid4().hex)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value, status=200, headers={}):
        return status, dict(headers, **{"Content-Type": "application/json"}), json.dumps(value).encode()

    # Tokens

    def give_token(self):
        token = "ya29." + uuid.uuid4().hex
        self.state.tokens[token] = time.time() + self.options.token_lifetime
        return self.json(
            {"access_token": token, "expires_in": self.options.token_lifetime, "token_type": "Bearer"})

    def token_for_assertion(self, body):
        form = dict(urllib.parse.parse_qsl(body.decode()))
        if form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return self.json({"error": "unsupported_grant_type", "error_description": "Invalid grant_type"}, 400)
        try:
            claims = google.auth.jwt.decode(
                form["assertion"], certs={"the-key-id": self.certificate}, audience=AUDIENCES + [self.options.token_address])
            assert claims["iss"] == "backup@permafrost.iam.gserviceaccount.com", "unknown account"
            assert "devstorage" in claims["scope"] or "cloud-platform" in claims["scope"], "another scope"
            assert claims["exp"] - claims["iat"] <= 3600, "too long"
        except Exception as error:
            return self.json({"error": "invalid_grant", "error_description": f"Invalid JWT: {error}"}, 400)
        return self.give_token()

    def token_of_machine(self, raw):
        if self.headers.get("Metadata-Flavor") != "Google":
            return 403, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>403</title>"
        if raw != "/computeMetadata/v1/instance/service-accounts/default/token":
            return 404, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>404</title>"
        return self.give_token()

    def authorize(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.options.token and self.state.tokens.get(token, 0) < time.time():
            raise Refusal(401, "authError", "Invalid Credentials")

    # Requests

    def act(self, command, raw, query, body):
        if command == "POST" and raw == "/storage/v1/b":
            name = json.loads(body)["name"]
            self.state.buckets.setdefault(name, {})
            return self.json({"kind": "storage#bucket", "name": name, "id": name})
        match = re.fullmatch(r"(/upload|/download|)/storage/v1/b/([^/]+)(?:/o(?:/([^/]+))?)?", raw)
        if not match:
            raise Refusal(404, "notFound", "Not Found")
        bucket = urllib.parse.unquote(match[2])
        if bucket not in self.state.buckets:
            raise Refusal(404, "notFound", "The specified bucket does not exist.")
        if match[1] == "/upload":
            return self.upload(command, bucket, query, body)
        objects = self.state.buckets[bucket]
        if not raw.split("/b/", 1)[1].count("/"):
            return self.json({"kind": "storage#bucket", "name": bucket, "id": bucket})
        if match[3] is None:
            return self.list(bucket, objects, query)
        name = urllib.parse.unquote(match[3])
        there = objects.get(name)
        if "generation" in query and not (there and query["generation"] == str(there.generation)):
            kept = self.state.past.get((bucket, name), [])
            there = next((one for one in kept if query["generation"] == str(one.generation)), None)
            if command != "GET":
                raise Refusal(400, "invalid", "What is past can only be read here.")
        if there is None:
            raise Refusal(404, "notFound", f"No such object: {bucket}/{name}")
        self.check_conditions(there, query)
        if command == "DELETE":
            self.keep(bucket, name)
            del objects[name]
            return 204, {}
        if query.get("alt") == "media":
            return self.media(there)
        return self.json(self.resource(bucket, name, there))

    def resource(self, bucket, name, there):
        crc = int.from_bytes(google_crc32c.Checksum(there.content).digest(), "big").to_bytes(4, "big")
        ended = {"timeDeleted": there.deleted} if there.deleted else {}
        return {
            **ended, "kind": "storage#object", "id": f"{bucket}/{name}/{there.generation}", "name": name, "bucket": bucket,
            "generation": str(there.generation), "metageneration": "1", "size": str(len(there.content)),
            "updated": there.updated, "timeCreated": there.updated, "crc32c": base64.b64encode(crc).decode(),
            "md5Hash": base64.b64encode(hashlib.md5(there.content).digest()).decode(), "metadata": there.metadata,
            "contentType": "application/octet-stream", "storageClass": "STANDARD", "etag": "x",
            "mediaLink": f"{self.options.address}/download/storage/v1/b/{bucket}/o/"
            + f"{urllib.parse.quote(name, safe='')}?generation={there.generation}&alt=media"}

    def list(self, bucket, objects, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        limit = min(int(query.get("maxResults", self.options.page_size)), self.options.page_size)
        after = base64.urlsafe_b64decode(query.get("pageToken", ""))
        items, prefixes, last, more = [], [], None, False
        shown_objects = {name: [there] for name, there in objects.items()}
        if query.get("versions", "").lower() == "true":
            for (other, name), kept in self.state.past.items():
                if other == bucket:
                    shown_objects[name] = kept + shown_objects.get(name, [])
        names = sorted(shown_objects, key=lambda name: name.encode())
        for name, there in ((name, there) for name in names for there in shown_objects[name]):
            if not name.startswith(prefix):
                continue
            shown = name
            if delimiter and delimiter in name[len(prefix):]:
                shown = prefix + name[len(prefix):].split(delimiter)[0] + delimiter
            place = f"{shown}\0{there.generation if shown == name else ''}".encode()
            if place <= after or place == last:
                continue
            if len(items) + len(prefixes) == limit:
                more = True
                break
            if shown != name:
                prefixes.append(shown)
            else:
                items.append(self.resource(bucket, name, there))
            last = place
        answer = {"kind": "storage#objects"}
        # As the service does, without what is empty.
        if items:
            answer["items"] = items
        if prefixes:
            answer["prefixes"] = prefixes
        if more:
            answer["nextPageToken"] = base64.urlsafe_b64encode(last).decode()
        return self.json(answer)

    def check_conditions(self, there, query):
        if "ifGenerationMatch" in query:
            if int(query["ifGenerationMatch"]) != (there.generation if there else 0):
                raise Refusal(
                    412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")

    def media(self, there):
        headers = {
            "X-Goog-Generation": str(there.generation), "Content-Type": "application/octet-stream",
            "X-Goog-Hash": "crc32c=" + base64.b64encode(google_crc32c.Checksum(there.content).digest()).decode()}
        wanted, size = self.headers.get("Range"), len(there.content)
        if not wanted:
            return 200, headers, there.content
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        first, last = int(first), min(int(last) if last else size - 1, size - 1)
        if first >= size:
            return 416, {"Content-Range": f"bytes */{size}", "Content-Type": "application/xml"}, b"<Error/>"
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return 206, headers, there.content[first:last + 1]

    # Uploads

    def upload(self, command, bucket, query, body):
        kind = query.get("uploadType")
        if "upload_id" in query:
            return self.go_on(command, query["upload_id"], body)
        conditions = {name: value for name, value in query.items() if name.startswith("if")}
        metadata = {}
        if kind == "multipart":
            # Split by hand: the parser for mail would change the content.
            boundary = email.parser.HeaderParser().parsestr(
                "Content-Type: " + self.headers["Content-Type"]).get_boundary().encode()
            parts = body.split(b"--" + boundary)
            head, content = [part.split(b"\r\n\r\n", 1)[1][:-2] for part in parts[1:3]]
            metadata = json.loads(head)
            body = content
        elif kind == "resumable" and body:
            metadata = json.loads(body)
        name = query.get("name") or metadata["name"]
        if kind != "resumable":
            return self.json(self.store(bucket, name, conditions, metadata, body))
        # The service looks at conditions at the end as well.
        self.check_conditions(self.state.buckets[bucket].get(name), conditions)
        upload = uuid.uuid4().hex
        self.state.uploads[upload] = Upload(bucket, name, conditions, metadata, bytearray())
        address = f"{self.options.address}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={upload}"
        return self.json({}, headers={"Location": address})

    def go_on(self, command, id, body):
        upload = self.state.uploads.get(id)
        if upload is None:
            raise Refusal(404, "notFound", "No such upload")
        if command == "DELETE":
            del self.state.uploads[id]
            return 499, {}
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", self.headers.get("Content-Range", ""))
        if not match:
            raise Refusal(400, "invalid", "Failed to parse Content-Range header.")
        total = None if match[3] == "*" else int(match[3])
        if match[1]:
            first, last = int(match[1]), int(match[2])
            if last - first + 1 != len(body) or first > len(upload.parts):
                raise Refusal(400, "invalid", "Invalid request. There were other bytes than announced.")
            if total is None and len(body) % UNIT:
                raise Refusal(400, "invalid", "Invalid request. The number of bytes is no multiple of 262144.")
            if self.options.grudging and len(body) >= 2 * UNIT:
                body = body[:len(body) // 2 // UNIT * UNIT]
            # What is there already is not looked at again.
            upload.parts.extend(body[len(upload.parts) - first:])
        if total is not None and len(upload.parts) == total:
            resource = self.store(upload.bucket, upload.name, upload.conditions, upload.metadata, bytes(upload.parts))
            del self.state.uploads[id]
            return self.json(resource)
        return 308, {"Range": f"bytes=0-{len(upload.parts) - 1}"} if upload.parts else {}

    def store(self, bucket, name, conditions, metadata, content):
        objects = self.state.buckets[bucket]
        self.check_conditions(objects.get(name), conditions)
        if "md5Hash" in metadata and base64.b64decode(metadata["md5Hash"]) != hashlib.md5(content).digest():
            raise Refusal(400, "invalid", "Provided MD5 hash doesn't match calculated MD5 hash.")
        self.state.generation += 1
        self.keep(bucket, name)
        objects[name] = Object(content, self.state.generation, self.now(), metadata.get("metadata", {}))
        return self.resource(bucket, name, objects[name])

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def keep(self, bucket, name):
        there = self.state.buckets[bucket].get(name)
        if there and self.options.versions:
            self.state.past.setdefault((bucket, name), []).append(there._replace(deleted=self.now()))

    def batch(self, body):
        boundary = email.parser.HeaderParser().parsestr(
            "Content-Type: " + self.headers["Content-Type"]).get_boundary()
        answers = ""
        for part in body.decode().replace("\r\n", "\n").split("--" + boundary)[1:-1]:
            head, request = part.strip().split("\n\n", 1)
            command, path, _ = request.split("\n")[0].split(" ")
            # Google's own client names the host as well.
            raw, _, query = re.sub(r"^https?://[^/]+", "", path).partition("?")
            try:
                with self.state.lock:
                    status, _, *rest = self.act(command, raw, dict(urllib.parse.parse_qsl(query)), b"")
            except Refusal as refusal:
                status, _, *rest = self.refusal(refusal)
            id = re.search(r"(?i)^content-id: *<?([^>\n]*)", head, re.M)
            answers += (
                f"--answers\r\nContent-Type: application/http\r\n"
                + (f"Content-ID: <response-{id[1]}>\r\n" if id else "")
                + f"\r\nHTTP/1.1 {status} Done\r\nContent-Length: {len(rest[0]) if rest else 0}\r\n\r\n"
                + (rest[0].decode() if rest else "") + "\r\n")
        return 200, {"Content-Type": "multipart/mixed; boundary=answers"}, (answers + "--answers--\r\n").encode()


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def make_account(options):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "permafrost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=2))
        .sign(key, hashes.SHA256()))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    account = {
        "type": "service_account", "project_id": "permafrost", "private_key_id": "the-key-id",
        "private_key": private.decode(), "client_email": "backup@permafrost.iam.gserviceaccount.com",
        "client_id": "1", "token_uri": options.token_address}
    with open(options.key_file, "w") as file:
        json.dump(account, file, indent=2)
    return certificate.public_bytes(serialization.Encoding.PEM)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--bucket", action="append", default=[])
    parser.add_argument("--key-file", required=True)
    parser.add_argument("--token", action="append", default=[])
    parser.add_argument("--token-lifetime", type=int, default=3599)
    parser.add_argument("--page-size", type=int, default=1000)
    parser.add_argument("--grudging", action="store_true")
    parser.add_argument("--versions", action="store_true")
    parser.add_argument("--cert")
    parser.add_argument("--cert-key")
    options = parser.parse_args()
    options.address = f"{'https' if options.cert else 'http'}://127.0.0.1:{options.port}"
    options.token_address = options.address + "/token"
    state = State()
    for name in options.bucket:
        state.buckets[name] = {}
    Handler.options, Handler.state, Handler.certificate = options, state, make_account(options)
    server = Server(("127.0.0.1", options.port), Handler)
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.cert_key)
        # The handshake is the connection's thread's business, not the listener's.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


main()
