"""Azure's Blob service on this machine, as far as backups use it: block blobs in memory.

Written from Microsoft's description of the protocol, not from our driver. It checks what the service checks: SharedKey
signatures, shared access signatures with their time and permissions, access tokens, dates, Content-MD5, conditions,
block ids. The tests let Microsoft's own client and rclone loose on it before they let it judge our driver.

    azure_blob_server.py PORT ACCOUNT KEY [--address ADDRESS] [--container NAME] [--token TOKEN] [--page-size N]
        [--versions] [--cert FILE --cert-key FILE]

With --versions it keeps what was replaced or deleted, as an account with blob versioning does.
"""

import argparse
import base64
import collections
import email.utils
import hashlib
import hmac
import http.server
import ssl
import sys
import threading
import time
import urllib.parse
import uuid
import xml.etree.ElementTree

Blob = collections.namedtuple("Blob", "content etag modified blocks tags type version")


class Refusal(Exception):
    def __init__(self, status, code, message, detail=None):
        super().__init__(message)
        self.status, self.code, self.message, self.detail = status, code, message, detail


class Store:
    def __init__(self):
        self.lock = threading.Lock()
        self.containers = {}  # name -> {blob name: Blob}
        self.uncommitted = {}  # (container, blob name) -> {id: bytes}
        self.versions = {}  # (container, blob name) -> [Blob], the oldest first, that which is there among them


def escaped(text):
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"&#{ord(c)};" if ord(c) < 32 else c for c in text)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    options = store = None
    # An answer must not wait for the acknowledgement of its head.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, form, *arguments):
        sys.stderr.write(f"{self.command} {self.path} {form % arguments}\n")

    def serve(self):
        self.request_id = str(uuid.uuid4())
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self.split()
            self.authorize(len(body))
            if body and "Content-MD5" in self.headers:
                if self.headers["Content-MD5"] != base64.b64encode(hashlib.md5(body).digest()).decode():
                    raise Refusal(400, "Md5Mismatch", "The MD5 value specified did not match the value calculated.")
            with self.store.lock:
                answer = self.act(body)
            self.answer(*answer)
        except Refusal as refusal:
            detail = f"<AuthenticationErrorDetail>{escaped(refusal.detail)}</AuthenticationErrorDetail>" if refusal.detail else ""
            text = (
                '<?xml version="1.0" encoding="utf-8"?>'
                f"<Error><Code>{refusal.code}</Code><Message>{escaped(refusal.message)}\n"
                f"RequestId:{self.request_id}\nTime:{time.time()}</Message>{detail}</Error>"
            )
            self.answer(refusal.status, {"x-ms-error-code": refusal.code, "Content-Type": "application/xml"}, text.encode())

    do_GET = do_HEAD = do_PUT = do_DELETE = do_POST = serve

    def answer(self, status, headers, body=b""):
        self.send_response(status)
        self.send_header("x-ms-request-id", self.request_id)
        self.send_header("x-ms-version", self.headers.get("x-ms-version", ""))
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def split(self):
        """Container and blob by host or by path."""
        self.raw_path, _, query = self.path.partition("?")
        pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
        self.query = {name.lower(): value for name, value in pairs}
        parts = self.raw_path.lstrip("/").split("/")
        if not self.headers.get("Host", "").startswith(self.options.account + "."):
            if urllib.parse.unquote(parts[0]) != self.options.account:
                raise Refusal(400, "InvalidUri", "The account is neither in the host nor in the path.")
            parts = parts[1:]
        self.container = urllib.parse.unquote(parts[0]) if parts and parts[0] else None
        self.blob = urllib.parse.unquote("/".join(parts[1:])) if len(parts) > 1 else None

    # Authorisation

    def authorize(self, size):
        authorization = self.headers.get("Authorization", "")
        if authorization.startswith("SharedKey "):
            self.check_shared_key(authorization, size)
        elif authorization.startswith("Bearer "):
            if authorization[7:] not in self.options.token:
                raise Refusal(401, "InvalidAuthenticationInfo", "Server failed to authenticate the request.")
        elif "sig" in self.query:
            self.check_shared_access_signature()
        else:
            raise Refusal(401, "NoAuthenticationInformation", "Server failed to authenticate the request.")

    def sign(self, text):
        key = base64.b64decode(self.options.key)
        return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()

    def failed(self, detail):
        return Refusal(
            403, "AuthenticationFailed",
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
            "correctly including the signature.", detail)

    def check_shared_key(self, authorization, size):
        account, _, signature = authorization[len("SharedKey "):].partition(":")
        date = self.headers.get("x-ms-date") or self.headers.get("Date")
        if not date or abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) > 900:
            raise self.failed(f"The date header in the request is incorrect. Date: {date}")
        header = lambda name: self.headers.get(name, "")
        lines = [self.command, header("Content-Encoding"), header("Content-Language"), str(size) if size else ""]
        lines += [header("Content-MD5"), header("Content-Type")]
        lines += ["" if "x-ms-date" in self.headers else header("Date")]
        lines += [header(name) for name in
                  ["If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"]]
        own = {name.lower(): value.strip() for name, value in self.headers.items() if name.lower().startswith("x-ms-")}
        lines += [f"{name}:{own[name]}" for name in sorted(own)]
        lines += [f"/{self.options.account}{self.raw_path}"]
        lines += [f"{name}:{self.query[name]}" for name in sorted(self.query)]
        text = "\n".join(lines)
        if account != self.options.account or not hmac.compare_digest(self.sign(text), signature):
            raise self.failed(
                f"The MAC signature found in the HTTP request '{signature}' is not the same as any computed signature. "
                f"Server used following string to sign: {text!r}")

    def check_shared_access_signature(self):
        field = lambda name: self.query.get(name, "")
        if "ss" in self.query:
            names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
            lines = [self.options.account] + [field(name) for name in names]
            if field("sv") >= "2020-12-06":
                lines.append(field("ses"))
            lines.append("")
        else:
            lines = [field("sp"), field("st"), field("se"), f"/blob/{self.options.account}/{self.container}"]
            lines += [field("si"), field("sip"), field("spr"), field("sv"), field("sr"), field("snapshot")]
            if field("sv") >= "2020-12-06":
                lines.append(field("ses"))
            lines += [field(name) for name in ["rscc", "rscd", "rsce", "rscl", "rsct"]]
        if not hmac.compare_digest(self.sign("\n".join(lines)), field("sig")):
            raise self.failed("Signature did not match. String to sign used was another.")
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if not (field("st") or "0") <= now <= field("se"):
            raise self.failed(f"Signature not valid in the specified time frame: Expiry [{field('se')}] - Current [{now}]")
        if self.command == "GET" and self.query.get("comp") == "list":
            needed = "l"
        elif self.command in ("GET", "HEAD"):
            needed = "r"
        elif self.command == "DELETE":
            needed = "d"
        else:
            needed = "w" if "w" in field("sp") else "c"
        if needed not in field("sp"):
            raise Refusal(
                403, "AuthorizationPermissionMismatch",
                "This request is not authorized to perform this operation using this permission.")

    # Requests

    def act(self, body):
        comp = self.query.get("comp")
        if self.container is None:
            raise Refusal(400, "UnsupportedQueryParameter", "Only containers and blobs are known here.")
        if self.blob is None:
            return self.act_on_container(comp)
        if self.container not in self.store.containers:
            raise Refusal(404, "ContainerNotFound", "The specified container does not exist.")
        blobs = self.store.containers[self.container]
        there = blobs.get(self.blob)
        if "versionid" in self.query:
            kept = self.store.versions.get((self.container, self.blob), [])
            there = next((blob for blob in kept if blob.version == self.query["versionid"]), None)
            if self.command not in ("GET", "HEAD"):
                raise Refusal(400, "UnsupportedQueryParameter", "Versions can only be read here.")
        if self.command in ("GET", "HEAD") and comp in (None, "blocklist"):
            return self.get(there, comp)
        if self.command == "DELETE":
            self.require(there)
            self.check_conditions(there)
            del blobs[self.blob]
            return 202, {}
        if self.command == "PUT" and comp in (None, "block", "blocklist"):
            return self.put(blobs, there, comp, body)
        raise Refusal(400, "UnsupportedQueryParameter", f"comp={comp} is not known here.")

    def act_on_container(self, comp):
        containers = self.store.containers
        if self.command == "PUT" and comp is None:
            if self.container in containers:
                raise Refusal(409, "ContainerAlreadyExists", "The specified container already exists.")
            containers[self.container] = {}
            return 201, {"ETag": '"0x1"', "Last-Modified": email.utils.formatdate(usegmt=True)}
        if self.container not in containers:
            raise Refusal(404, "ContainerNotFound", "The specified container does not exist.")
        if self.command == "DELETE":
            del containers[self.container]
            return 202, {}
        if self.command == "GET" and comp == "list":
            return self.list(containers[self.container])
        if self.command in ("GET", "HEAD"):
            return 200, {"ETag": '"0x1"', "Last-Modified": email.utils.formatdate(usegmt=True)}
        raise Refusal(405, "UnsupportedHttpVerb", "The resource does not support that.")

    def list(self, blobs):
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        limit = min(int(self.query.get("maxresults", self.options.page_size)), self.options.page_size)
        marker = base64.urlsafe_b64decode(self.query.get("marker", ""))
        rows, last = [], None
        present = blobs
        if self.query.get("include") == "versions":
            blobs = {name: kept for (container, name), kept in self.store.versions.items() if container == self.container}
        else:
            blobs = {name: [blob] for name, blob in blobs.items()}
        for name, blob in ((name, blob) for name in sorted(blobs, key=lambda name: name.encode()) for blob in blobs[name]):
            if not name.startswith(prefix):
                continue
            shown = name
            if delimiter and delimiter in name[len(prefix):]:
                shown = prefix + name[len(prefix):].split(delimiter)[0] + delimiter
            place = f"{shown}\0{blob.version if shown == name else ''}".encode()
            if place <= marker or place == last:
                continue
            if len(rows) == limit:
                break
            if shown != name:
                rows.append(f"<BlobPrefix><Name>{escaped(shown)}</Name></BlobPrefix>")
            else:
                version = f"<VersionId>{blob.version}</VersionId>" if self.options.versions else ""
                if version and blob is present.get(name):
                    version += "<IsCurrentVersion>true</IsCurrentVersion>"
                rows.append(
                    f"<Blob><Name>{escaped(name)}</Name>{version}<Properties><Last-Modified>{blob.modified}</Last-Modified>"
                    f"<Etag>{blob.etag.strip(chr(34))}</Etag><Content-Length>{len(blob.content)}</Content-Length>"
                    f"<Content-Type>{escaped(blob.type)}</Content-Type><BlobType>BlockBlob</BlobType></Properties></Blob>")
            last = place
        else:
            last = None
        following = base64.urlsafe_b64encode(last).decode() if last else ""
        text = (
            '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="x" '
            f'ContainerName="{self.container}"><Prefix>{escaped(prefix)}</Prefix><Blobs>{"".join(rows)}</Blobs>'
            f"<NextMarker>{following}</NextMarker></EnumerationResults>")
        return 200, {"Content-Type": "application/xml"}, text.encode()

    def require(self, there):
        if there is None:
            raise Refusal(404, "BlobNotFound", "The specified blob does not exist.")

    def check_conditions(self, there):
        match, none_match = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        if match and (there is None or match not in ("*", there.etag)):
            raise Refusal(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
        if none_match == "*" and there is not None and self.command == "PUT":
            raise Refusal(409, "BlobAlreadyExists", "The specified blob already exists.")
        if none_match and there is not None and none_match == there.etag:
            raise Refusal(412, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")

    def get(self, there, comp):
        self.require(there)
        self.check_conditions(there)
        if comp == "blocklist":
            rows = "".join(f"<Block><Name>{escaped(name)}</Name></Block>" for name in there.blocks)
            text = f"<BlockList><CommittedBlocks>{rows}</CommittedBlocks></BlockList>"
            return 200, {"Content-Type": "application/xml"}, text.encode()
        headers = {
            "ETag": there.etag, "Last-Modified": there.modified, "Content-Type": there.type, "Accept-Ranges": "bytes",
            "x-ms-blob-type": "BlockBlob"}
        wanted = self.headers.get("x-ms-range") or self.headers.get("Range")
        size = len(there.content)
        if self.command == "HEAD":
            return 200, dict(headers, **{"Content-Length": str(size)})
        if not wanted:
            return 200, headers, there.content
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        first, last = int(first), min(int(last) if last else size - 1, size - 1)
        if first >= size:
            raise Refusal(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return 206, headers, there.content[first:last + 1]

    def put(self, blobs, there, comp, body):
        uncommitted = self.store.uncommitted.setdefault((self.container, self.blob), {})
        if comp == "block":
            block = self.query["blockid"]
            lengths = {len(base64.b64decode(other)) for other in uncommitted}
            if lengths and lengths != {len(base64.b64decode(block))}:
                raise Refusal(400, "InvalidBlobOrBlock", "The specified blob or block content is invalid.")
            if not body:
                raise Refusal(400, "InvalidHeaderValue", "A block has at least one byte.")
            uncommitted[block] = body
            return 201, {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
        self.check_conditions(there)
        blocks = {}
        if comp == "blocklist":
            for row in xml.etree.ElementTree.fromstring(body):
                committed = there.blocks if there else {}
                places = {"Committed": [committed], "Uncommitted": [uncommitted]}.get(row.tag, [uncommitted, committed])
                found = [place[row.text] for place in places if row.text in place]
                if not found:
                    raise Refusal(400, "InvalidBlockList", "The specified block list is invalid.")
                blocks[row.text] = found[0]
            body = b"".join(blocks.values())
        elif self.headers.get("x-ms-blob-type") != "BlockBlob":
            raise Refusal(400, "InvalidHeaderValue", "x-ms-blob-type is missing or not known here.")
        uncommitted.clear()
        tags = dict(urllib.parse.parse_qsl(self.headers.get("x-ms-tags", "")))
        type = self.headers.get("x-ms-blob-content-type") or self.headers.get("Content-Type") or "application/octet-stream"
        seconds, rest = divmod(time.time_ns(), 1_000_000_000)
        version = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest // 100:07}Z"
        blob = Blob(
            body, f'"0x{uuid.uuid4().hex[:15].upper()}"', email.utils.formatdate(seconds, usegmt=True), blocks, tags, type,
            version)
        blobs[self.blob] = blob
        if self.options.versions:
            self.store.versions.setdefault((self.container, self.blob), []).append(blob)
        return 201, {"ETag": blob.etag, "Last-Modified": blob.modified}


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("account")
    parser.add_argument("key")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--container", action="append", default=[])
    parser.add_argument("--token", action="append", default=[])
    parser.add_argument("--page-size", type=int, default=5000)
    parser.add_argument("--versions", action="store_true")
    parser.add_argument("--cert")
    parser.add_argument("--cert-key")
    options = parser.parse_args()
    store = Store()
    for name in options.container:
        store.containers[name] = {}
    Handler.options, Handler.store = options, store
    server = Server((options.address, options.port), Handler)
    if options.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.cert, options.cert_key)
        # The handshake is the connection's thread's business, not the listener's.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


main()
