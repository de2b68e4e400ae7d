"""Scenarios of Percona's dialect: stores of four kinds, schedules and retention, and stores that fail."""

import base64
import contextlib
import datetime
import itertools
import json
import tempfile
import time

from acceptance.percona import (
    backup, backups, condition, holds, manifest, repository, restore, state, succeeded, volume)
from acceptance.stage import (
    REGION, Failed, apply, certificates, eventually, get, in_client, kubectl, note, openssl, pod_template, primary, shown,
    sql, stored)

S3 = "percona-stores"
GCS = "gcs.store.svc"
AZURE = "azure.store.svc"
ACCOUNT = "acceptance"
# As long as Azure's.
ACCOUNT_KEY = base64.b64encode(b"the key of an account that is for acceptance alone, and opens nothing else").decode()
CONTAINER = "percona-stores"
TOKENS = """
import http.server, json, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        good = b"grant_type=urn" in asked and b"assertion=ey" in asked
        body = json.dumps({"access_token": "a-token", "expires_in": 3599} if good else {"error": "invalid_grant"}).encode()
        self.send_response(200 if good else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8444), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def clouds(options):
    """Google's and Azure's stores, under an authority that only the manifests of the clusters name."""
    image = f"{options.prefix}permafrost-test-store:{options.tag}"
    files = certificates("clouds", "store", [GCS, AZURE], "Acceptance CA of the clouds")
    tls = [{"name": "tls", "secret": {"secretName": "clouds"}}, {"name": "tmp", "emptyDir": {}}]
    mounts = [{"name": "tls", "mountPath": "/tls"}, {"name": "tmp", "mountPath": "/tmp"}]

    def container(name, port, *command):
        return {"name": name, "image": image, "command": list(command), "volumeMounts": mounts,
                "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}}

    gcs = pod_template({"app": "gcs"}, container(
        "gcs", 8443, "fake-gcs-server", "-backend", "memory", "-scheme", "https", "-host", "0.0.0.0", "-port", "8443",
        "-public-host", GCS, "-cert-location", "/tls/tls.crt", "-private-key-location", "/tls/tls.key", "-log-level",
        "warn"), tls)
    tokens = container("tokens", 8444, "python3", "-c", TOKENS)
    gcs["spec"]["containers"].append(dict(tokens, securityContext=gcs["spec"]["containers"][0]["securityContext"]))
    azure = pod_template({"app": "azure"}, container(
        "azure", 8443, "python3", "/usr/local/lib/stores/azure_blob_server.py", "8443", ACCOUNT, ACCOUNT_KEY, "--address",
        "0.0.0.0", "--container", CONTAINER, "--cert", "/tls/tls.crt", "--cert-key", "/tls/tls.key"), tls)
    for name, pod, ports in (("gcs", gcs, {"https": (443, 8443), "tokens": (8444, 8444)}),
                             ("azure", azure, {"https": (443, 8443)})):
        apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": pod}}, "store")
        apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {
            "selector": {"app": name}, "ports": [
                {"name": port, "port": outer, "targetPort": inner} for port, (outer, inner) in ports.items()]}}, "store")
    for name in ("gcs", "azure"):
        kubectl("-n", "store", "rollout", "status", f"deployment/{name}", "--timeout=90s")
    curl(f"https://{GCS}/storage/v1/b?project=acceptance", json.dumps({"name": S3}))
    in_client(f"export AWS_ENDPOINT_URL=https://s3.{REGION}.amazonaws.com AWS_DEFAULT_REGION={REGION}; "
              f"aws s3 mb s3://{S3} || true")
    return files["ca.crt"]


def curl(address, body=None):
    """From inside, to a server of the clouds."""
    code = ("import ssl,sys,urllib.request as u;c=ssl.create_default_context();c.check_hostname=False;"
            "c.verify_mode=ssl.CERT_NONE;"
            "print(u.urlopen(u.Request(sys.argv[1],sys.argv[2].encode() if len(sys.argv)>2 else None,"
            "{'Content-Type':'application/json'}),context=c).read().decode())")
    status, output, error = kubectl(
        "-n", "store", "exec", "client", "--", "python3", "-c", code, address, *([body] if body else []), check=False)
    if status != 0 and "409" not in error:
        raise Failed(error.strip()[-500:])
    return output


def account_file():
    """Of a service account of Google's, with a key that nobody checks."""
    with tempfile.TemporaryDirectory() as folder:
        key = openssl(folder, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    return json.dumps({
        "type": "service_account", "project_id": "acceptance", "private_key_id": "1", "private_key": key,
        "client_email": "backup@acceptance.iam.gserviceaccount.com", "client_id": "1",
        "token_uri": f"https://{GCS}:8444/token"})


def secret(name, **files):
    data = {key: base64.b64encode(text.encode()).decode() for key, text in files.items()}
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "demo"}, "data": data})


def stage_authority():
    return base64.b64decode(get("secret", "tls", "store")["data"]["ca.crt"]).decode()


def four_kinds(options, name, keys=("repo2", "repo3", "repo4"), azure_key=ACCOUNT_KEY):
    """Repositories on a volume, in S3, in Google's store and in Azure's, their options, and the Secret with their keys."""
    authority = clouds(options)
    secret(f"{name}-keys", **{
        "keys.conf": "[global]\nrepo2-s3-key=administrator\nrepo2-s3-key-secret=administrator\n"
                     f"repo4-azure-account={ACCOUNT}\nrepo4-azure-key={azure_key}\nrepo4-cipher-pass=correct horse\n",
        "gcs-key.json": account_file(), "clouds.crt": authority, "s3.crt": stage_authority()})
    repos = [
        {"name": "repo1", "volume": volume()},
        {"name": "repo2", "s3": {"endpoint": f"s3.{REGION}.amazonaws.com", "region": REGION, "bucket": S3}},
        {"name": "repo3", "gcs": {"bucket": S3}}, {"name": "repo4", "azure": {"container": CONTAINER}}]
    folder = "/etc/pgbackrest/conf.d"
    settings = {
        "repo2-path": f"/{name}/repo2", "repo2-storage-ca-file": f"{folder}/s3.crt", "repo2-bundle": "y",
        "repo2-block": "y", "repo3-path": f"/{name}/repo3", "repo3-gcs-endpoint": GCS,
        "repo3-gcs-key": f"{folder}/gcs-key.json", "repo3-storage-ca-file": f"{folder}/clouds.crt",
        "repo4-path": f"/{name}/repo4", "repo4-azure-endpoint": AZURE, "repo4-azure-uri-style": "path",
        "repo4-storage-ca-file": f"{folder}/clouds.crt", "repo4-cipher-type": "aes-256-cbc"}
    return repos, settings


@contextlib.contextmanager
def cleared(options, *clusters):
    """What belongs to these clusters goes at the end, unless somebody wants to look at what went wrong."""
    try:
        yield
    except BaseException:
        if not options.keep:
            clear(*clusters)
        raise
    clear(*clusters)


def clear(*clusters):
    for kind in ("perconapgrestore", "perconapgbackup"):
        for item in get(kind):
            if item["spec"]["pgCluster"] in clusters:
                kubectl("-n", "demo", "delete", kind, item["metadata"]["name"], "--wait=false", check=False)
    for cluster in clusters:
        kubectl("-n", "demo", "delete", "pg", cluster, "--ignore-not-found", "--wait=false", check=False)
    for cluster in clusters:
        kubectl("-n", "demo", "delete", "pods,pvc,secret,jobs", "-l", f"permafrost.dev/cluster={cluster}", "--wait=false",
                check=False)


def started(cluster):
    return sql("select pg_postmaster_start_time()", cluster)


def made(name, limit=180):
    """Waits for the end of a backup, which must be a good one."""
    eventually(f"backup {name} has ended", lambda: state("perconapgbackup", name) in ("Succeeded", "Failed"), limit)
    status = get("perconapgbackup", name)["status"]
    if status["state"] != "Succeeded":
        raise Failed(f"backup {name}: {status.get('error')}")
    return status


def archived(cluster):
    """Waits until all WAL up to now is in all repositories."""
    # A segment in which nothing is would not be archived.
    sql("select pg_create_restore_point('archived')", cluster)
    wanted = sql("select pg_walfile_name(pg_switch_wal())", cluster)
    eventually(f"{wanted} is archived", lambda: sql(
        f"select last_archived_wal >= '{wanted}' from pg_stat_archiver", cluster) == "t", 90, 0.2)


def fill(cluster, rows=3000):
    sql(f"create table big as select g as id, md5(g::text) || repeat(md5((g * 7)::text), 10) as t from "
        f"generate_series(1, {rows}) g; create table r (id int)", cluster)


def content(cluster):
    """All that the tables hold, in one text."""
    return sql("select (select string_agg(id::text, ',' order by id) from r) || ' ' || "
               "(select md5(string_agg(id || t, '' order by id)) from big)", cluster)


def restored(name, cluster, repo, options, wanted, limit=240):
    """Restores in place and compares; waits until the cluster is well and the backup that comes after it is there."""
    apply(restore(name, repo, options, cluster))
    eventually(f"{name} has ended", lambda: state("perconapgrestore", name) in ("Succeeded", "Failed"), limit)
    status = get("perconapgrestore", name)["status"]
    if status["state"] != "Succeeded":
        raise Failed(f"{name}: {status.get('error')}")
    found = content(cluster)
    if found != wanted:
        raise Failed(f"{name}: there is {found}, not {wanted}")
    note(f"{name}: {repo} {' '.join(options)}: the data is right: {found}")
    eventually("the cluster is well", lambda: holds("Ready", cluster) and holds("ContinuousArchiving", cluster), 120)
    made(status["newBackupName"])


def stores(options):
    """A volume, S3, Google's store and Azure's at once, under private authorities; restored from each, by all targets."""
    with cleared(options, "kinds"):
        repos, settings = four_kinds(options, "kinds")
        apply(manifest("kinds", repos, settings, secret="kinds-keys"))
        eventually("the database", lambda: holds("Ready", "kinds"), 180)
        eventually("four repositories have a stanza", lambda: all(
            repository(f"repo{key}", "kinds").get("stanzaCreated") for key in range(1, 5)), 120)
        eventually("the first backup", lambda: succeeded("kinds"), 120)
        fill("kinds")
        for key in range(1, 5):
            apply(backup(f"kinds-{key}", f"repo{key}", cluster="kinds"))
        for key in range(1, 5):
            made(f"kinds-{key}")
        shown("-n", "demo", "get", "pg-backup", "-o", "custom-columns=NAME:.metadata.name,REPO:.spec.repoName,"
              "STORE:.status.storageType,DESTINATION:.status.destination,TYPE:.status.backupType,SIZE:.status.size,"
              "LSN:.status.lsn.start")
        for key in (2, 3, 4):
            if not get("perconapgbackup", f"kinds-{key}")["status"].get("destination", "").endswith(f"/kinds/repo{key}"):
                raise Failed(f"kinds-{key} does not say where it is")
        if not [name for name in stored("kinds/repo2/backup/", S3) if name.endswith("/backup.manifest")]:
            raise Failed("nothing is in the bucket in S3")
        objects = curl(f"https://{GCS}/storage/v1/b/{S3}/o?prefix=kinds/repo3/backup/")
        if not [item for item in json.loads(objects)["items"] if item["name"].endswith("/backup.manifest")]:
            raise Failed("nothing is in Google's bucket")
        # Each restore has a new timeline, and the next one ends on that.
        for number, (way, repo) in enumerate((("latest", "repo1"), ("set", "repo2"), ("time", "repo3"),
                                              ("immediate", "repo4"), ("lsn", "repo2"), ("name", "repo4"),
                                              ("latest", "repo3"))):
            name = f"{way}-{repo}"
            sql(f"insert into r values ({number * 10 + 1})", "kinds")
            apply(backup(f"before-{name}", repo, ["--type=incr"], "kinds"))
            label = made(f"before-{name}")["backupName"]
            wanted = content("kinds")
            if way != "immediate":
                sql(f"insert into r values ({number * 10 + 2})", "kinds")
                wanted = content("kinds")
            time.sleep(1.1)
            words = {
                "latest": lambda: [], "set": lambda: [f"--set={label}"], "immediate": lambda: [
                    f"--set={label}", "--type=immediate"],
                "time": lambda: ["--type=time", "--target='%s'" % sql(
                    "select to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USOF')", "kinds")],
                "lsn": lambda: ["--type=lsn", "--target=" + sql("select pg_create_restore_point('there')", "kinds")],
                "name": lambda: ["--type=name", "--target=" + sql(
                    "select 'here' from pg_create_restore_point('here')", "kinds")]}[way]()
            time.sleep(1.1)
            sql(f"insert into r values ({number * 10 + 3})", "kinds")
            if way in ("latest", "set"):
                wanted = content("kinds")
            archived("kinds")
            restored(f"to-{name}", "kinds", repo, words, wanted)
        shown("-n", "demo", "get", "pg-restore", "-o", "wide")
        shown("-n", "demo", "get", "pg", "kinds", "-o", "jsonpath={.status.pgbackrest.repos}")


# Schedules ------------------------------------------------------------------------------------------------------------

OPERATOR = ("-n", "permafrost-system")
CLOCK = "/clock/libfaketime.so.1"


def at(item):
    """The time that a backup was scheduled for."""
    text = item["metadata"].get("annotations", {}).get("permafrost.dev/scheduled-time")
    return datetime.datetime.fromisoformat(text) if text else None


def scheduled(cluster):
    return sorted((at(item) for item in backups(cluster) if at(item)))


def labels(cluster, key):
    """Of the backups that are in a volume, without those that are being made."""
    output = kubectl("-n", "demo", "exec", f"deploy/{cluster}-repo-host", "--", "sh", "-c",
                     f"cd /pgbackrest/repo{key}/backup/db && ls -d */backup.manifest 2>/dev/null || true")
    return sorted(line.split("/")[0] for line in output.split() if not line.startswith("latest/"))


def told(cluster, repo):
    return sorted(item["status"]["backupName"] for item in succeeded(cluster) if item["spec"]["repoName"] == repo)


def kill_operator():
    kubectl(*OPERATOR, "delete", "pod", "-l", "app.kubernetes.io/name=permafrost-operator", "--grace-period=0", "--force")
    note("the operator was killed")


def schedules(options):
    """A backup every minute, through a restart of the operator, until the schedule goes; retention by count and by time."""
    with cleared(options, "timed"):
        repos = [{"name": "repo1", "volume": volume(), "schedules": {"full": "* * * * *"}},
                 {"name": "repo2", "volume": volume()}]
        apply(manifest("timed", repos, {"repo1-retention-full": "2", "repo2-retention-full": "1",
                                        "repo2-retention-full-type": "time"}))
        eventually("the database", lambda: holds("Ready", "timed"), 180)
        eventually("a backup by the schedule", lambda: len(scheduled("timed")) >= 2, 130, 1)
        before = started("timed")
        # In the last seconds of a minute: the one that comes next must not be missed.
        time.sleep(57 - time.time() % 60 if time.time() % 60 < 57 else 0)
        known = scheduled("timed")
        kill_operator()
        eventually("the next one, from the new operator", lambda: len(scheduled("timed")) > len(known) or max(
            scheduled("timed")) > max(known), 90)
        times = scheduled("timed")
        for one, other in itertools.pairwise(times[1:]):
            if (other - one).total_seconds() != 60:
                raise Failed(f"between {one} and {other} is not a minute")
        # By time: none is a day old, so all three stay, where counting would leave one.
        for number in range(3):
            apply(backup(f"timed-{number}", "repo2", cluster="timed"))
        for number in range(3):
            made(f"timed-{number}")
        if len(labels("timed", 2)) != 3:
            raise Failed(f"in repo2 are {labels('timed', 2)}, not three")
        eventually("by count two are left, objects and data alike", lambda: len(labels("timed", 1)) == 2 and labels(
            "timed", 1) == told("timed", "repo1"), 150, 1)
        note(f"repo1 holds {labels('timed', 1)}")
        # In two days: the newest of those that are older than one stays, since what came before it goes.
        pod = primary("timed")
        library = in_client("base64 -w0 /usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 || "
                            "base64 -w0 $(find / -name libfaketime.so.1 2>/dev/null | head -n 1)")
        kubectl("-n", "demo", "exec", "-i", pod, "-c", "agent", "--", "sh", "-c", "base64 -d > /tmp/clock.so", stdin=library)
        # The library changes the environment of whoever loads it first, and Swift finds no arguments then: a shell is first.
        output = kubectl(
            "-n", "demo", "exec", pod, "-c", "agent", "--", "env", "LD_PRELOAD=/tmp/clock.so", "FAKETIME=+2d",
            "NO_FAKE_STAT=1", "sh", "-c",
            "permafrost --stanza=db --repo=2 --log-level-console=info expire; exit $?")
        note("expire two days later: " + " / ".join(
            line.split("INFO: ")[-1] for line in output.splitlines() if "expire" in line)[:600])
        newest = get("perconapgbackup", "timed-2")["status"]["backupName"]
        eventually("by time one is left, objects and data alike", lambda: labels("timed", 2) == [newest] and told(
            "timed", "repo2") == [newest], 90)
        kubectl("-n", "demo", "patch", "pg", "timed", "--type=json", "-p", json.dumps(
            [{"op": "remove", "path": "/spec/backups/pgbackrest/repos/0/schedules"}]))
        time.sleep(5)
        count = scheduled("timed")
        time.sleep(65)
        if max(scheduled("timed")) != max(count):
            raise Failed("backups are made though no schedule is left")
        note("the schedule is gone: no backup was made in 65 s")
        if started("timed") != before:
            raise Failed("PostgreSQL was started again")
        shown("-n", "demo", "get", "pg-backup")


def set_clock(offset):
    kubectl(*OPERATOR, "patch", "configmap", "clock", "--type=merge", "-p", json.dumps({"data": {"offset": offset}}))
    # Pods' volumes are looked at once a minute, and at once when the pod changes.
    kubectl(*OPERATOR, "annotate", "pod", "-l", "app.kubernetes.io/name=permafrost-operator", f"clock={time.time()}",
            "--overwrite")
    note(f"the operator's clock is at {offset}")


def clock(options):
    """The operator's clock jumps three hours ahead, and back: no storm of backups, no end of them."""
    store = f"{options.prefix}permafrost-test-store:{options.tag}"
    image = f"{options.prefix}permafrost-postgres:17-{options.tag}"
    deployment = get("deployment", "permafrost-operator", "permafrost-system")["spec"]["template"]["spec"]
    own = deployment["containers"][0]["image"]
    with cleared(options, "jumping"):
        kubectl(*OPERATOR, "create", "configmap", "clock", "--from-literal=offset=+0", check=False)
        security = deployment["containers"][0]["securityContext"]
        variables = {"LD_PRELOAD": CLOCK, "FAKETIME_TIMESTAMP_FILE": "/offset/offset", "FAKETIME_NO_CACHE": "1",
                     "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
        # The library is of the Debian that the other image is made of.
        kubectl(*OPERATOR, "patch", "deployment", "permafrost-operator", "--type=strategic", "-p", json.dumps({
            "spec": {"template": {"spec": {
                "volumes": [{"name": "clock", "emptyDir": {}}, {"name": "offset", "configMap": {"name": "clock"}}],
                "initContainers": [{
                    "name": "clock", "image": store, "securityContext": security, "command": [
                        "sh", "-c", "cp $(find /usr/lib -name libfaketime.so.1) /clock/"],
                    "volumeMounts": [{"name": "clock", "mountPath": "/clock"}]}],
                "containers": [{"name": "operator", "image": image, "volumeMounts": [
                    {"name": "clock", "mountPath": "/clock"}, {"name": "offset", "mountPath": "/offset"}],
                    "env": [{"name": key, "value": value} for key, value in variables.items()]}]}}}}))
        try:
            kubectl(*OPERATOR, "rollout", "status", "deployment/permafrost-operator", "--timeout=90s")
            apply(manifest("jumping", [{"name": "repo1", "volume": volume(), "schedules": {"incremental": "* * * * *"}}]))
            eventually("the database", lambda: holds("Ready", "jumping"), 180)
            eventually("a backup by the schedule", lambda: len(scheduled("jumping")) >= 2, 130, 1)
            before, known = started("jumping"), len(scheduled("jumping"))
            set_clock("+3h")
            ahead = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2, minutes=58)
            eventually("a backup of the new time", lambda: max(scheduled("jumping")) > ahead, 90, 1)
            time.sleep(20)
            if len(scheduled("jumping")) - known > 3:
                raise Failed(f"{len(scheduled('jumping')) - known} backups were made for a jump of the clock")
            note(f"three hours ahead: {len(scheduled('jumping')) - known} backups more")
            known = len(scheduled("jumping"))
            set_clock("+0")
            now = datetime.datetime.now(datetime.timezone.utc)
            eventually("and one of the old time again", lambda: [
                time for time in scheduled("jumping") if now < time < ahead], 150, 1)
            if len(scheduled("jumping")) - known > 3:
                raise Failed(f"{len(scheduled('jumping')) - known} backups were made for a jump of the clock back")
            eventually("all are good", lambda: all(item.get("status", {}).get("state") == "Succeeded" for item in backups(
                "jumping")), 60)
            if started("jumping") != before:
                raise Failed("PostgreSQL was started again")
            shown("-n", "demo", "get", "pg-backup")
        finally:
            kubectl(*OPERATOR, "patch", "deployment", "permafrost-operator", "--type=json", "-p", json.dumps(
                [{"op": "remove", "path": "/spec/template/spec/initContainers"}]))
            kubectl(*OPERATOR, "patch", "deployment", "permafrost-operator", "--type=strategic", "-p", json.dumps({
                "spec": {"template": {"spec": {
                    "volumes": [{"name": name, "$patch": "delete"} for name in ("clock", "offset")],
                    "containers": [{"name": "operator", "image": own, "volumeMounts": [
                        {"mountPath": path, "$patch": "delete"} for path in ("/clock", "/offset")],
                        "env": [{"name": key, "$patch": "delete"} for key in variables]}]}}}}))
            kubectl(*OPERATOR, "rollout", "status", "deployment/permafrost-operator", "--timeout=90s")
            kubectl(*OPERATOR, "delete", "configmap", "clock")


# Stores that fail -----------------------------------------------------------------------------------------------------

def fails(item, *words):
    """A backup or a restore that must fail, and say why."""
    apply(item)
    kind, name = item["kind"].lower(), item["metadata"]["name"]
    eventually(f"{name} has failed", lambda: state(kind, name) in ("Failed", "Succeeded"), 180)
    status = get(kind, name)["status"]
    note(f"{name}: {status['state']}: {status.get('error', '')}")
    if status["state"] != "Failed" or not all(word in status["error"] for word in words):
        raise Failed(f"{name} does not say {', '.join(words)}")


def full(options):
    """A repository whose volume is full: told, its backups fail in words, the other goes on, and so it does with room."""
    classes = json.loads(kubectl("get", "storageclass", "-o", "json"))["items"]
    if "sized" not in [item["metadata"]["name"] for item in classes]:
        note("there is no storage class whose volumes are as large as they say: not tried")
        return
    with cleared(options, "filled"):
        small = volume("160Mi")
        small["volumeClaimSpec"]["storageClassName"] = "sized"
        apply(manifest("filled", [{"name": "repo1", "volume": small}, {"name": "repo2", "volume": volume()}]))
        eventually("the database", lambda: holds("Ready", "filled"), 180)
        eventually("the first backup", lambda: succeeded("filled"), 120)
        before = started("filled")
        host = ("-n", "demo", "exec", "deploy/filled-repo-host", "--")
        # What does not get smaller, and WAL of it.
        sql("create table big as select g as id, (select string_agg(encode(sha512((g * 40 + i)::text::bytea), 'hex'), '') "
            "from generate_series(1, 40) i) as t from generate_series(1, 12000) g; create table r (id int)", "filled")
        archived("filled")
        note(kubectl(*host, "df", "-h", "/pgbackrest/repo1").splitlines()[-1])
        # Three MiB are left.
        kubectl(*host, "sh", "-c", "free=$(df --output=avail -B1M /pgbackrest/repo1 | tail -n 1); "
                "head -c $(((free - 3) * 1048576)) /dev/zero > /pgbackrest/repo1/filler")
        fails(backup("filled-1", "repo1", cluster="filled"), "space")
        note(kubectl(*host, "df", "-h", "/pgbackrest/repo1").splitlines()[-1])
        kubectl(*host, "sh", "-c", "cat /dev/zero >> /pgbackrest/repo1/filler || true", check=False)
        sql("insert into r values (1); select pg_switch_wal()", "filled")
        eventually("told in the status", lambda: not repository("repo1", "filled").get("ready", True) or not holds(
            "ContinuousArchiving", "filled"), 90)
        shown("-n", "demo", "get", "pg", "filled", "-o", "jsonpath={.status.pgbackrest.repos}{.status.conditions}")
        made_before = time.monotonic()
        apply(backup("filled-2", "repo2", cluster="filled"))
        made("filled-2")
        note(f"a backup in the other repository meanwhile, in {time.monotonic() - made_before:.0f} s")
        sql("insert into r values (2)", "filled")
        if started("filled") != before:
            raise Failed("PostgreSQL was started again")
        kubectl(*host, "rm", "/pgbackrest/repo1/filler")
        eventually("with room: well again", lambda: repository("repo1", "filled").get("ready") and holds(
            "ContinuousArchiving", "filled"), 90)
        kubectl("-n", "demo", "delete", "pg-backup", "filled-1")
        apply(backup("filled-3", "repo2", ["--type=incr"], "filled"))
        made("filled-3")
        wanted = content("filled")
        archived("filled")
        restored("filled-restore", "filled", "repo1", [], wanted)


def refused(options):
    """Wrong keys, buckets, names, options and targets: each fails with its reason, and PostgreSQL runs all the while."""
    with cleared(options, "refused"):
        repos, settings = four_kinds(options, "refused", azure_key=base64.b64encode(b"another key").decode())
        repos[1]["s3"]["bucket"] = "there-is-no-such-bucket"
        settings["repo3-gcs-key"] = "/etc/pgbackrest/conf.d/there-is-no-such-key.json"
        apply(manifest("refused", repos, settings, secret="refused-keys"))
        eventually("the database", lambda: holds("Ready", "refused"), 180)
        eventually("the first backup", lambda: succeeded("refused"), 120)
        before = started("refused")
        fill("refused")
        wanted = content("refused")
        eventually("the missing bucket is told", lambda: "there-is-no-such-bucket" in repository(
            "repo2", "refused").get("message", ""), 90)
        eventually("the missing key file is told", lambda: "there-is-no-such-key.json" in repository(
            "repo3", "refused").get("message", ""), 90)
        eventually("the wrong key is told", lambda: "azure-key" in repository("repo4", "refused").get("message", ""), 90)
        for key in (2, 3, 4):
            note(f"repo{key}: {repository(f'repo{key}', 'refused')['message']}")
        # They wait for two minutes, together.
        for name, repo in (("wrong-bucket", "repo2"), ("wrong-key-file", "repo3"), ("wrong-key", "repo4")):
            apply(backup(name, repo, cluster="refused"))
        apply(backup("wrong-cluster", cluster="there-is-no-such-cluster"))
        fails(backup("wrong-bucket", "repo2", cluster="refused"), "there-is-no-such-bucket")
        fails(backup("wrong-key-file", "repo3", cluster="refused"), "there-is-no-such-key.json")
        fails(backup("wrong-key", "repo4", cluster="refused"), "AuthenticationFailed")
        fails(backup("wrong-option-2", options=["--type=full", "--pg1-path=/tmp"], cluster="refused"), "pg1-path")
        fails(backup("wrong-type", options=["--type=complete"], cluster="refused"), "complete")
        fails(backup("wrong-cluster", cluster="there-is-no-such-cluster"), "there-is-no-such-cluster")
        fails(restore("from-wrong-bucket", "repo2", cluster="refused"), "there-is-no-such-bucket")
        fails(restore("from-wrong-key-file", "repo3", cluster="refused"), "there-is-no-such-key.json")
        fails(restore("from-wrong-key", "repo4", cluster="refused"), "AuthenticationFailed")
        fails(restore("forbidden", options=["--type=time", "--target='2030-01-01 00:00:00+00'", "--pg1-path=/tmp"],
                      cluster="refused"), "pg1-path")
        for name, words, reason in (
                ("no-set", ["--set=20200101-000000F"], "20200101-000000F"),
                ("too-early", ["--type=time", "--target='2001-01-01 00:00:00+00'"], "2001-01-01"),
                ("too-late", ["--type=time", "--target='2099-01-01 00:00:00+00'"], "2099-01-01"),
                ("no-lsn", ["--type=lsn", "--target=0/1"], "0/1"),
                ("no-time", ["--type=time", "--target=yesterday-ish"], "yesterday-ish"),
                ("no-target", ["--type=time"], "target"),
                ("no-type", ["--type=magic"], "magic"),
                ("no-timeline", ["--target-timeline=77"], "target-timeline")):
            fails(restore(name, options=words, cluster="refused"), reason)
        fails(restore("no-cluster", cluster="there-is-no-such-cluster"), "there-is-no-such-cluster")
        for name, words in (("repo7", "repo7"), ("3", "repo")):
            status, _, error = kubectl("apply", "-f", "-", stdin=json.dumps(backup("wrong-name", name)), check=False)
            if status == 0:
                fails(backup("wrong-name", name, cluster="refused"), words)
            else:
                note(f"a backup to '{name}' is refused by the server: {error.strip().splitlines()[-1]}")
        if content("refused") != wanted or started("refused") != before:
            raise Failed("PostgreSQL was started again, or its data is another")
        if get("pods", "refused-0")["status"]["containerStatuses"][0]["restartCount"]:
            raise Failed("a container was started again")
        # That WAL ends before is only known when all of it was applied: what was there before comes back.
        fails(restore("lsn-to-come", options=["--type=lsn", "--target=FF/0"], cluster="refused"), "FF/0")
        eventually("the cluster is well but for its repositories", lambda: holds("Ready", "refused") and content(
            "refused") == wanted, 90)
        before = started("refused")
        # And what was wrong is mended, without a restart.
        secret("refused-keys", **dict(
            {key: base64.b64decode(text).decode() for key, text in get("secret", "refused-keys")["data"].items()},
            **{"keys.conf": f"[global]\nrepo2-s3-key=administrator\nrepo2-s3-key-secret=administrator\n"
                            f"repo4-azure-account={ACCOUNT}\nrepo4-azure-key={ACCOUNT_KEY}\n"
                            "repo4-cipher-pass=correct horse\n"}))
        repos[1]["s3"]["bucket"] = S3
        settings["repo3-gcs-key"] = "/etc/pgbackrest/conf.d/gcs-key.json"
        apply(manifest("refused", repos, settings, secret="refused-keys"))
        eventually("mended", lambda: all(repository(f"repo{key}", "refused").get("stanzaCreated") and repository(
            f"repo{key}", "refused").get("ready") for key in range(1, 5)), 120)
        for key in (2, 3, 4):
            apply(backup(f"mended-{key}", f"repo{key}", cluster="refused"))
        for key in (2, 3, 4):
            made(f"mended-{key}")
        if started("refused") != before:
            raise Failed("PostgreSQL was started again")


SCENARIOS = [stores, schedules, clock, full, refused]
