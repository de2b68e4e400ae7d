"""Scenarios of StackGres' dialect."""

import base64
import datetime
import itertools
import json
import os
import re
import subprocess
import tempfile
import time

from acceptance.stage import (
    BUCKET, REGION, ROOT, Failed, apply, eventually, get, in_client, kubectl, log, no_new_pods, note, primary, shown, sql,
    stored)

SEED = os.path.join(ROOT, "..", "shared", "seeds", "stackgres-backup-configuration.md")


def condition(type, name="pg", namespace="demo"):
    cluster = get("sgcluster", name, namespace) or {}
    for entry in cluster.get("status", {}).get("conditions", []):
        if entry["type"] == type:
            return entry
    return {}


def holds(type, name="pg", namespace="demo"):
    return condition(type, name, namespace).get("status") == "True"


def backups(cluster="pg", namespace="demo"):
    found = [item for item in get("sgbackup", namespace=namespace) if item["spec"]["sgCluster"] == cluster]
    return sorted(found, key=lambda item: item["metadata"]["creationTimestamp"])


def phase(backup):
    return (backup or {}).get("status", {}).get("process", {}).get("status")


def completed(cluster="pg", namespace="demo"):
    return [item for item in backups(cluster, namespace) if phase(item) == "Completed"]


def cluster_manifest(name="pg", schedule="*/1 * * * *", retention=3, major="17", instances=1, **spec):
    backup = {"sgObjectStorage": "backupconfig1", "retention": retention}
    if schedule:
        backup["cronSchedule"] = schedule
    body = {
        "instances": instances, "postgres": {"version": major},
        "pods": {"persistentVolume": {"size": "1Gi"}},
        "configurations": {"backups": [backup]},
    }
    body.update(spec)
    return {"apiVersion": "stackgres.io/v1", "kind": "SGCluster",
            "metadata": {"name": name, "namespace": "demo"}, "spec": body}


def backup_manifest(name, cluster="pg", managed=False, namespace="demo"):
    return {"apiVersion": "stackgres.io/v1", "kind": "SGBackup",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"sgCluster": cluster, "managedLifecycle": managed}}


def blocks():
    """The code of the seed, in its order: (language, text)."""
    with open(SEED) as file:
        return re.findall(r"```(bash|yaml)\n(.*?)```", file.read(), re.S)


def seed(options):
    """The seed from its first line to its last; a backup every minute in place of five."""
    code = blocks()
    if len(code) != 8:
        raise Failed(f"the seed has {len(code)} blocks of code, not 8")
    policy, user, key, make, secret = (text for language, text in code if language == "bash" and "apply" not in text)
    storage, backup = (text for language, text in code if language == "yaml")
    settings = f"export AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}\n"
    script = policy.replace("YOUR_BUCKET_NAME", BUCKET).replace("read -d ''", "read -r -d ''") + "\n"
    script = script.replace("read -r -d '' policy <<EOF", "read -r -d '' policy <<EOF || true")
    script += user.replace("export AWS_PROFILE=     # optional\n", "").replace("#YOUR_REGION", REGION).replace(
        "AWS_REGION= ", "AWS_REGION=").replace("$policy", '"$policy"')
    script += key + make
    note("the seed's IAM policy, user, key and bucket, typed in a pod with the AWS CLI")
    output = in_client(settings + script)
    for line in output.splitlines()[:12]:
        log.append("         " + line)
    credentials = in_client("cat credentials.json")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "credentials.json"), "w") as file:
            file.write(credentials)
        manifest = storage.replace("YOUR_BUCKET_NAME", BUCKET)
        with open(os.path.join(folder, "sgobjectstorage-backupconfig1.yaml"), "w") as file:
            file.write(manifest)
        kubectl("-n", "demo", "delete", "secret", "s3-backup-bucket-secret", "--ignore-not-found")
        for text in (secret, next(text for language, text in code if "kubectl apply" in text)):
            done = subprocess.run(["bash", "-ec", text], cwd=folder, capture_output=True, text=True)
            if done.returncode != 0:
                raise Failed(done.stderr)
            note(done.stdout.strip())
    # What the page leaves out, and a minute in place of five.
    manifest = backup.replace("kind: SGCluster\n", "kind: SGCluster\nmetadata:\n  name: pg\n  namespace: demo\n")
    manifest = manifest.replace(
        "spec:\n", "spec:\n  instances: 1\n  postgres: {version: '17'}\n  pods: {persistentVolume: {size: 1Gi}}\n", 1)
    manifest = manifest.replace("*/5 * * * *", "*/1 * * * *").replace("retention: 6", f"retention: {options.retention}")
    apply(manifest)
    eventually("the database is there", lambda: holds("Ready"))
    eventually("the repository is ready", lambda: holds("RepositoryReady"))
    eventually("WAL is archived", lambda: holds("ContinuousArchiving"), 180)
    eventually("the first backup is complete", completed, 180)
    sql("create table t (id int primary key, at timestamptz default clock_timestamp()); insert into t values (1)")
    eventually("a backup by the schedule", lambda: len(completed()) >= 2, 150)
    eventually(f"retention is reached: {options.retention} backups", lambda: len(completed()) == options.retention,
               90 * options.retention, 2)
    oldest = completed()[0]["metadata"]["name"]
    eventually("the oldest gives way to a new one", lambda: oldest not in [
        item["metadata"]["name"] for item in backups()], 180, 2)
    if len(completed()) > options.retention + 1:
        raise Failed(f"{len(completed())} backups are kept")
    for before, item in itertools.pairwise(completed()):
        due = datetime.datetime.fromisoformat(item["metadata"]["annotations"]["permafrost.dev/scheduled-time"])
        late = datetime.datetime.fromisoformat(item["metadata"]["creationTimestamp"]) - due
        # One that runs holds the next up.
        is_free = datetime.datetime.fromisoformat(before["status"]["process"]["timing"]["end"]) < due
        if is_free and late.total_seconds() > 2:
            raise Failed(f"{item['metadata']['name']} came {late} after its time")
    shown("-n", "demo", "get", "sgbackup", "-o", "wide")
    shown("-n", "demo", "get", "sgcluster", "-o", "wide")
    shown("-n", "demo", "get", "pods,jobs,sgobjectstorages")
    shown("-n", "demo", "describe", "sgcluster", "pg")
    path = get("sgcluster", "pg")["status"]["backupPaths"][0]
    labels = {key[len(path) + 1:].split("/")[2] for key in stored(path + "/backup/db/") if key.endswith("/backup.manifest")}
    names = {item["status"]["internalName"] for item in completed()}
    if not names <= labels:
        raise Failed(f"in the bucket are {labels}, and SGBackups say {names}")


def on_demand(options):
    """A backup on demand: kept, handed to retention, deleted with its data."""
    apply(backup_manifest("by-hand"))
    eventually("complete", lambda: phase(get("sgbackup", "by-hand")) == "Completed", 180)
    item = get("sgbackup", "by-hand")
    shown("-n", "demo", "get", "sgbackup", "by-hand", "-o", "yaml")
    label, path = item["status"]["internalName"], item["status"]["backupPath"]
    if item["status"]["process"]["managedLifecycle"] is not False:
        raise Failed("it is not held")
    kubectl("-n", "demo", "patch", "sgbackup", "by-hand", "--type=merge", "-p", '{"spec":{"managedLifecycle":true}}')
    eventually("handed to retention", lambda: get("sgbackup", "by-hand")["status"]["process"]["managedLifecycle"], 90)
    apply(backup_manifest("by-hand-2"))
    eventually("another is complete", lambda: phase(get("sgbackup", "by-hand-2")) == "Completed", 180)
    label = get("sgbackup", "by-hand-2")["status"]["internalName"]
    if not [key for key in stored(path) if f"/{label}/" in key]:
        raise Failed(f"{label} is not in the bucket")
    kubectl("-n", "demo", "delete", "sgbackup", "by-hand-2", "--wait=false")
    eventually("its object is gone", lambda: get("sgbackup", "by-hand-2") is None, 90)
    if [key for key in stored(path) if f"/backup/db/{label}/" in key]:
        raise Failed(f"{label} is still in the bucket")
    note(f"the data of {label} is gone from the bucket")


def restore(options):
    """A new cluster at a time between two inserts, and another at the end of WAL."""
    sql("drop table if exists r; create table r (id int); insert into r values (1)")
    kubectl("-n", "demo", "delete", "sgbackup", "for-restore", "--ignore-not-found")
    apply(backup_manifest("for-restore"))
    eventually("a backup to begin with", lambda: phase(get("sgbackup", "for-restore")) == "Completed", 180)
    sql("insert into r values (2)")
    time.sleep(2)
    moment = sql("select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    time.sleep(2)
    sql("insert into r values (3); select pg_switch_wal()")
    eventually("the last insert is archived", lambda: sql(
        "select last_archived_wal >= '%s' from pg_stat_archiver" % sql("select pg_walfile_name('0/0'::pg_lsn + 16777216)")
    ) == "t", 90)
    source = {"fromBackup": {"name": "for-restore", "pointInTimeRecovery": {"restoreToTimestamp": moment}}}
    apply(cluster_manifest("then", schedule=None, initialData={"restore": source}))
    eventually("a cluster as it was then", lambda: holds("Ready", "then"), 180)
    rows = eventually("its rows", lambda: sql("select string_agg(id::text, ',' order by id) from r", "then"), 60)
    if rows != "1,2":
        raise Failed(f"the rows are {rows}, not 1,2")
    apply(cluster_manifest("again", schedule=None, initialData={"restore": {"fromBackup": {"name": "for-restore"}}}))
    eventually("a cluster at the end of WAL", lambda: holds("Ready", "again"), 180)
    rows = sql("select string_agg(id::text, ',' order by id) from r", "again")
    if rows != "1,2,3":
        raise Failed(f"the rows are {rows}, not 1,2,3")
    kubectl("-n", "demo", "delete", "sgbackup", "for-restore")
    eventually("the backup may go", lambda: get("sgbackup", "for-restore") is None, 90)
    pod = primary("then")
    kubectl("-n", "demo", "delete", "pod", pod)
    eventually("the restored cluster starts again without it", lambda: holds("Ready", "then") and sql(
        "select count(*) from r", "then") == "2", 120)
    eventually("and archives to a place of its own", lambda: holds("ContinuousArchiving", "then"), 120)
    kubectl("-n", "demo", "patch", "sgcluster", "then", "--type=merge", "-p", '{"spec":{"instances":2}}')
    eventually("a replica of it", lambda: get("sgcluster", "then")["status"]["instances"] == 2 and holds(
        "Ready", "then"), 180)
    shown("-n", "demo", "get", "sgcluster,pods")
    for name in ("then", "again"):
        kubectl("-n", "demo", "delete", "sgcluster", name)


def failover(options):
    """The primary is killed while a backup runs; the backups go on."""
    apply(cluster_manifest("ha", instances=2, schedule=None))
    eventually("two members", lambda: holds("Ready", "ha") and holds("ContinuousArchiving", "ha"), 240)
    sql("create table big as select g, md5(g::text) || repeat('x', 800) as t from generate_series(1, 200000) g", "ha")
    apply(backup_manifest("during", "ha"))
    eventually("it runs", lambda: phase(get("sgbackup", "during")) == "Running" and get(
        "sgbackup", "during")["status"]["process"].get("jobPod"), 120)
    old = primary("ha")
    with no_new_pods():
        kubectl("-n", "demo", "delete", "pod", old, "--grace-period=0", "--force")
        note(f"{old} was killed")
        eventually("another primary", lambda: primary("ha") not in (None, old), 120)
    eventually("the backup has ended", lambda: phase(get("sgbackup", "during")) in ("Completed", "Failed"), 300)
    shown("-n", "demo", "get", "sgbackup", "during")
    eventually("both members again", lambda: holds("Ready", "ha"), 180)
    apply(backup_manifest("after", "ha"))
    eventually("the next backup is complete", lambda: phase(get("sgbackup", "after")) == "Completed", 300)
    shown("-n", "demo", "get", "sgbackup", "-o", "wide")
    for name in ("during", "after"):
        kubectl("-n", "demo", "delete", "sgbackup", name)
    kubectl("-n", "demo", "delete", "sgcluster", "ha")


def outage(options):
    """The store goes and comes back: it is told, and forgotten."""
    kubectl("-n", "store", "patch", "service", "store", "--type=merge", "-p", '{"spec":{"selector":{"app":"nobody"}}}')
    sql("insert into t select max(id) + 1 from t; select pg_switch_wal()")
    try:
        eventually("told within a minute", lambda: condition("RepositoryReady").get("status") == "False", 60)
        shown("-n", "demo", "describe", "sgcluster", "pg")
    finally:
        kubectl("-n", "store", "patch", "service", "store", "--type=merge", "-p", '{"spec":{"selector":{"app":"store"}}}')
    eventually("forgotten within a minute", lambda: holds("RepositoryReady"), 60)
    eventually("WAL is archived again", lambda: holds("ContinuousArchiving"), 60)


def check_keys(wanted):
    """Has the store look at signatures and policies, which moto does only when it is told to."""
    code = (
        "import ssl,urllib.request as u;c=ssl.create_default_context(cafile='/tls/ca.crt');"
        "c.verify_flags&=~ssl.VERIFY_X509_STRICT;"
        f"u.urlopen(u.Request('https://s3.{REGION}.amazonaws.com/moto-api/reset-auth',"
        f"b'{'0' if wanted else 'inf'}',{{'Content-Type':'text/plain'}}),context=c)")
    kubectl("-n", "store", "exec", "client", "--", "python3", "-c", code)


def wrong_key(options):
    """A Secret with a wrong key, and the right one again, without a restart of PostgreSQL."""
    started = sql("select pg_postmaster_start_time()")
    secret = get("secret", "s3-backup-bucket-secret")
    right = secret["data"]
    kubectl("-n", "demo", "patch", "secret", "s3-backup-bucket-secret", "--type=json", "-p",
            json.dumps([{"op": "remove", "path": "/data/secretAccessKey"}]))
    eventually("the missing entry is told", lambda: condition("RepositoryReady").get("reason") == "SecretMissing", 60)
    shown("-n", "demo", "get", "events", "--field-selector", "reason=SecretMissing")
    kubectl("-n", "demo", "patch", "secret", "s3-backup-bucket-secret", "--type=merge", "-p", json.dumps({"data": right}))
    eventually("forgotten", lambda: holds("RepositoryReady"), 60)
    wrong = base64.b64encode(b"not the key").decode()
    kubectl("-n", "demo", "patch", "secret", "s3-backup-bucket-secret", "--type=merge", "-p",
            json.dumps({"data": {"secretAccessKey": wrong}}))
    check_keys(True)
    try:
        eventually("the wrong key is told", lambda: condition("RepositoryReady").get("reason") == "AccessDenied", 60)
        shown("-n", "demo", "describe", "sgcluster", "pg")
    finally:
        # moto 5.1 does not reckon the signature of a list as AWS does, so that the right key is refused there too.
        check_keys(False)
        kubectl("-n", "demo", "patch", "secret", "s3-backup-bucket-secret", "--type=merge", "-p",
                json.dumps({"data": right}))
    eventually("forgotten", lambda: holds("RepositoryReady"), 60)
    if sql("select pg_postmaster_start_time()") != started:
        raise Failed("PostgreSQL was started again")
    kubectl("-n", "demo", "patch", "sgobjectstorage", "backupconfig1", "--type=merge", "-p",
            '{"spec":{"s3":{"bucket":"no-such-bucket"}}}')
    eventually("the missing bucket is told", lambda: "no-such-bucket" in condition("RepositoryReady").get("message", ""), 60)
    shown("-n", "demo", "get", "sgcluster", "pg", "-o", "jsonpath={.status.conditions[?(@.type=='RepositoryReady')]}")
    kubectl("-n", "demo", "patch", "sgobjectstorage", "backupconfig1", "--type=merge", "-p",
            json.dumps({"spec": {"s3": {"bucket": BUCKET}}}))
    eventually("forgotten", lambda: holds("RepositoryReady"), 60)


def restarted(options):
    """The operator is killed while a backup runs, and two are there at once: nothing is lost, made twice or restarted."""
    started = sql("select pg_postmaster_start_time()")
    sql("create table if not exists big as select g, md5(g::text) || repeat('x', 800) as t from "
        "generate_series(1, 100000) g")
    apply(backup_manifest("through"))
    eventually("it runs", lambda: phase(get("sgbackup", "through")) == "Running", 120)
    kubectl("-n", "permafrost-system", "delete", "pod", "-l", "app.kubernetes.io/name=permafrost-operator",
            "--grace-period=0", "--force")
    note("the operator was killed")
    kubectl("-n", "permafrost-system", "scale", "deployment", "permafrost-operator", "--replicas=2")
    eventually("the backup is complete", lambda: phase(get("sgbackup", "through")) == "Completed", 180)
    jobs = [job for job in get("job") if job["metadata"]["name"].startswith("through-")]
    if len(jobs) != 1:
        raise Failed(f"{len(jobs)} Jobs were made for one backup")
    apply(backup_manifest("by-two"))
    eventually("another, with two operators", lambda: phase(get("sgbackup", "by-two")) == "Completed", 180)
    path, names = get("sgbackup", "by-two")["status"]["backupPath"], set()
    for name in ("through", "by-two"):
        names.add(get("sgbackup", name)["status"]["internalName"])
        kubectl("-n", "demo", "delete", "sgbackup", name)
    if len(names) != 2 or [key for key in stored(path) if any(f"/{name}/" in key for name in names)]:
        raise Failed(f"of {names} something is left, or they are one")
    kubectl("-n", "permafrost-system", "scale", "deployment", "permafrost-operator", "--replicas=1")
    if sql("select pg_postmaster_start_time()") != started:
        raise Failed("PostgreSQL was started again")


def delayed(options):
    """Storage is added to a cluster that runs, by a patch; no pod is started again."""
    manifest = cluster_manifest("late")
    del manifest["spec"]["configurations"]
    apply(manifest)
    eventually("a cluster without backups", lambda: holds("Ready", "late"), 120)
    started = sql("select pg_postmaster_start_time()", "late")
    kubectl("-n", "demo", "patch", "sgcluster", "late", "--type=merge", "-p", json.dumps({"spec": {"configurations": {
        "backups": [{"sgObjectStorage": "backupconfig1", "cronSchedule": "*/1 * * * *", "retention": 2}]}}}))
    eventually("a backup", lambda: completed("late"), 180)
    if sql("select pg_postmaster_start_time()", "late") != started:
        raise Failed("PostgreSQL was started again")
    # Its objects outlive it.
    kubectl("-n", "demo", "delete", "sgcluster", "late")
    eventually("the cluster is gone", lambda: not get("pods", namespace="demo") or not [
        pod for pod in get("pods", namespace="demo") if pod["metadata"]["labels"].get("permafrost.dev/cluster") == "late"
        and pod["metadata"]["labels"].get("permafrost.dev/part") == "database"], 180)
    kept = completed("late")
    if not kept:
        raise Failed("no backup was kept")
    path, label = kept[0]["status"]["backupPath"], kept[0]["status"]["internalName"]
    if not [key for key in stored(path) if f"/{label}/" in key]:
        raise Failed("the data of the backup that was kept is gone")
    shown("-n", "demo", "get", "sgbackup")
    for item in backups("late"):
        kubectl("-n", "demo", "delete", "sgbackup", item["metadata"]["name"])
    eventually("deleted with its data", lambda: not [key for key in stored(path) if f"/{label}/" in key], 90)


def targets(options):
    """Every target of a restore: transaction, LSN, restore point, the end of the backup; and one that cannot be."""
    sql("drop table if exists g; create table g (id int); insert into g values (1)")
    kubectl("-n", "demo", "delete", "sgbackup", "for-targets", "--ignore-not-found")
    apply(backup_manifest("for-targets"))
    eventually("a backup to begin with", lambda: phase(get("sgbackup", "for-targets")) == "Completed", 180)
    transaction = sql("insert into g values (2) returning pg_current_xact_id()::xid")
    place = sql("select pg_create_restore_point('here')")
    sql("insert into g values (3); select pg_switch_wal()")
    wanted = {"xid": ({"targetXid": transaction}, "1,2"), "lsn": ({"targetLsn": place}, "1,2"),
              "name": ({"targetName": "here"}, "1,2"), "immediate": ({"target": "immediate"}, "1"),
              "before": ({"targetXid": transaction, "targetInclusive": False}, "1")}
    for name, (target, rows) in wanted.items():
        manifest = cluster_manifest(name, initialData={"restore": {"fromBackup": dict(target, name="for-targets")}})
        del manifest["spec"]["configurations"]
        apply(manifest)
        eventually(f"restored to {name}", lambda: holds("Ready", name), 180)
        found = sql("select string_agg(id::text, ',' order by id) from g", name)
        if found != rows:
            raise Failed(f"the rows are {found}, not {rows}")
        kubectl("-n", "demo", "delete", "sgcluster", name)
    source = {"fromBackup": {"name": "for-targets", "pointInTimeRecovery": {"restoreToTimestamp": "2020-01-01T00:00:00Z"}}}
    apply(cluster_manifest("never", initialData={"restore": source}))
    eventually("a time before the backup is refused", lambda: condition("Ready", "never").get(
        "reason") == "RestoreTimeOutside", 30)
    if get("statefulset", "never"):
        raise Failed("something was made")
    kubectl("-n", "demo", "delete", "sgcluster", "never")
    kubectl("-n", "demo", "delete", "sgbackup", "for-targets")


def copies(options):
    """A backup copied to another namespace: restored there; its data goes with the last of the two."""
    kubectl("-n", "demo", "delete", "sgbackup", "original", "--ignore-not-found")
    apply(backup_manifest("original"))
    eventually("the original", lambda: phase(get("sgbackup", "original")) == "Completed", 180)
    item = get("sgbackup", "original")
    secret = get("secret", "s3-backup-bucket-secret")
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3-backup-bucket-secret"},
           "data": secret["data"]}, "copies")
    copy = {"apiVersion": item["apiVersion"], "kind": "SGBackup", "status": item["status"],
            "metadata": {"name": "copy", "namespace": "copies"}, "spec": {"sgCluster": "demo.pg"}}
    apply(copy)
    manifest = cluster_manifest("copied", initialData={"restore": {"fromBackup": {"name": "copy"}}})
    manifest["metadata"]["namespace"] = "copies"
    del manifest["spec"]["configurations"]
    apply(manifest)
    eventually("a cluster from the copy", lambda: holds("Ready", "copied", "copies"), 180)
    rows = sql("select count(*) >= 1 from t", "copied", "copies")
    if rows != "t":
        raise Failed("the rows are not there")
    label, path = item["status"]["internalName"], item["status"]["backupPath"]
    kubectl("-n", "demo", "delete", "sgbackup", "original")
    time.sleep(5)
    if not [key for key in stored(path) if f"/backup/db/{label}/" in key]:
        raise Failed("the data went with the original, though there is a copy")
    kubectl("-n", "copies", "delete", "sgcluster", "copied")
    kubectl("-n", "copies", "delete", "sgbackup", "copy", "--wait=false")
    eventually("the data goes with the copy", lambda: not [
        key for key in stored(path) if f"/backup/db/{label}/" in key], 120, 2)


def lag(options):
    """A replica that the primary has no WAL for any more catches up from the archive; then a switchover."""
    manifest = cluster_manifest("two", instances=2, schedule=None)
    apply(manifest)
    eventually("two members", lambda: holds("Ready", "two") and holds("ContinuousArchiving", "two"), 240)
    apply(backup_manifest("two-first", "two"))
    eventually("a backup", lambda: phase(get("sgbackup", "two-first")) == "Completed", 180)
    leader = primary("two")
    replica = "two-1" if leader == "two-0" else "two-0"
    sql("create table w as select 1 as n", "two")
    claim = f"two-data-{replica}"
    kubectl("-n", "demo", "delete", "pvc", claim, "--wait=false")
    kubectl("-n", "demo", "delete", "pod", replica, "--grace-period=1")
    for _ in range(3):
        sql("insert into w select max(n) + 1 from w; select pg_switch_wal()", "two")
    eventually("the replica again, from the repository", lambda: kubectl(
        "-n", "demo", "exec", replica, "-c", "patroni", "--", "psql", "-X", "-U", "postgres", "-Atqc",
        "select max(n) from w").strip() == "4", 180, 1)
    text = kubectl("-n", "demo", "logs", replica, "-c", "patroni")
    if "replica has been created using permafrost" not in text:
        raise Failed("the replica was not made from the repository")
    kubectl("-n", "demo", "delete", "sgbackup", "two-first")
    kubectl("-n", "demo", "delete", "sgcluster", "two")


def removed(options):
    """The storage of a cluster is removed: that is accepted, told, and mended by making it again."""
    storage = get("sgobjectstorage", "backupconfig1")
    kubectl("-n", "demo", "delete", "sgobjectstorage", "backupconfig1")
    eventually("told", lambda: condition("RepositoryReady").get("reason") == "StorageNotFound", 60)
    apply({"apiVersion": storage["apiVersion"], "kind": storage["kind"], "spec": storage["spec"],
           "metadata": {"name": "backupconfig1", "namespace": "demo"}})
    eventually("forgotten", lambda: holds("RepositoryReady"), 60)


def guide(options):
    """Every command of docs/kubernetes.md, in its order."""
    with open(os.path.join(ROOT, "docs", "kubernetes.md")) as file:
        code = re.findall(r"```sh (run|store)\n(.*?)```", file.read(), re.S)
    if len(code) < 8:
        raise Failed(f"docs/kubernetes.md has {len(code)} commands")
    with tempfile.TemporaryDirectory() as folder:
        for kind, text in code:
            start = time.monotonic()
            if kind == "store":
                in_client(text)
                with open(os.path.join(folder, "credentials.json"), "w") as file:
                    file.write(in_client("cat credentials.json"))
                continue
            done = subprocess.run(["bash", "-eo", "pipefail", "-c", text], cwd=folder, capture_output=True, text=True)
            first = text.strip().splitlines()[-1][:100]
            note(f"{time.monotonic() - start:.1f} s: … {first}")
            for line in done.stdout.rstrip().splitlines()[-12:]:
                log.append("         " + line)
            if done.returncode != 0:
                raise Failed(f"{text.strip()[:200]}: {done.stdout} {done.stderr}")
            if "count(*) from orders" in text and done.stdout.strip().splitlines()[-1] != "100":
                raise Failed(f"the restored table has {done.stdout.strip()} rows, not 100")


def majors(options):
    """The other majors: a cluster, a backup, and a cluster that begins with it; one that we have no image for is refused."""
    for major in ("15", "18"):
        name = f"pg{major}"
        apply(cluster_manifest(name, schedule=None, major=major))
        eventually(f"PostgreSQL {major}", lambda: holds("Ready", name) and holds("ContinuousArchiving", name), 240)
        sql("create table v as select current_setting('server_version_num')::int / 10000 as v", name)
        apply(backup_manifest(name, name))
        eventually("its backup", lambda: phase(get("sgbackup", name)) == "Completed", 180)
        sql("select pg_switch_wal()", name)
        apply(cluster_manifest(f"{name}-copy", schedule=None, major=major,
                               initialData={"restore": {"fromBackup": {"name": name}}}))
        eventually("a cluster from it", lambda: holds("Ready", f"{name}-copy"), 180)
        if sql("select v from v", f"{name}-copy") != major:
            raise Failed("the table is not there")
        for cluster in (name, f"{name}-copy"):
            kubectl("-n", "demo", "delete", "sgcluster", cluster)
        kubectl("-n", "demo", "delete", "sgbackup", name)
    apply(cluster_manifest("pg16", major="16"))
    eventually("16 is refused", lambda: condition("Ready", "pg16").get("reason") == "PostgresVersionUnsupported", 30)
    if get("statefulset", "pg16"):
        raise Failed("something was made")
    kubectl("-n", "demo", "delete", "sgcluster", "pg16")


def full_volume(options):
    """A volume that is full is told, and forgotten when there is room again."""
    classes = json.loads(kubectl("get", "storageclass", "-o", "json"))["items"]
    if "sized" not in [item["metadata"]["name"] for item in classes]:
        note("there is no storage class whose volumes are as large as they say: not tried")
        return
    volume = {"persistentVolume": {"size": "512Mi", "storageClass": "sized"}}
    apply(cluster_manifest("small", schedule=None, pods=volume))
    eventually("a small cluster", lambda: holds("Ready", "small"), 180)
    pod = primary("small")
    kubectl("-n", "demo", "exec", pod, "-c", "agent", "--", "sh", "-c",
            "dd if=/dev/zero of=/var/lib/postgresql/filler bs=1M 2>/dev/null; true")
    eventually("told within a minute", lambda: condition("Ready", "small").get("reason") == "VolumeFull", 60)
    shown("-n", "demo", "get", "events", "--field-selector", "reason=VolumeFull")
    kubectl("-n", "demo", "exec", pod, "-c", "agent", "--", "rm", "/var/lib/postgresql/filler")
    eventually("forgotten within a minute", lambda: holds("Ready", "small"), 60)
    kubectl("-n", "demo", "delete", "sgcluster", "small")


SCENARIOS = [seed, on_demand, restore, targets, copies, failover, lag, outage, wrong_key, full_volume, removed, restarted,
             delayed, majors, guide]
