"""Scenarios of Percona's dialect: clusters that begin with what another has written, and one that follows another."""

import base64
import json
import time

from acceptance.percona import apply, backup, condition, holds, manifest, repository, rows, state, succeeded, volume
from acceptance.stage import BUCKET, REGION, Failed, eventually, get, in_client, kubectl, note, shown, sql, stored

KEYS = "sources-keys"


def bucket(name="repo1"):
    return {"name": name, "s3": {"bucket": BUCKET, "endpoint": f"s3.{REGION}.amazonaws.com", "region": REGION}}


def keys(namespace="demo", name=KEYS):
    in_client(f"export AWS_ENDPOINT_URL=https://s3.{REGION}.amazonaws.com AWS_DEFAULT_REGION={REGION}; "
              f"aws s3 mb s3://{BUCKET} || true")
    text = "[global]\n" + "".join(
        f"repo{key}-s3-key=administrator\nrepo{key}-s3-key-secret=administrator\n" for key in (1, 2))
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
           "data": {"s3.conf": base64.b64encode(text.encode()).decode()}})


def change(name, patch):
    kubectl("-n", "demo", "patch", "pg", name, "--type=merge", "-p", json.dumps(patch))


def remove(name, data=True):
    """All of a cluster but the volumes of its repositories; also the database's, unless told otherwise."""
    if get("perconapgcluster", name):
        # Patroni ends sooner while it may still say so.
        change(name, {"spec": {"pause": True}})
        eventually(f"{name} is paused", lambda: not [
            pod for pod in get("pods") if pod["metadata"]["labels"].get("permafrost.dev/cluster") == name
            and pod["metadata"]["labels"].get("permafrost.dev/part") == "database"], 240)
    kubectl("-n", "demo", "delete", "pg", name, "--ignore-not-found", "--timeout=120s")
    eventually(f"cluster {name} is gone, with its pods", lambda: get("perconapgcluster", name) is None and not [
        pod for pod in get("pods") if pod["metadata"]["labels"].get("permafrost.dev/cluster") == name
        and pod["metadata"]["labels"].get("permafrost.dev/part") in ("database", "repository-host")], 180)
    for claim in get("pvc"):
        if data and claim["metadata"]["name"].removeprefix(f"pgdata-{name}-").isdigit():
            kubectl("-n", "demo", "delete", "pvc", claim["metadata"]["name"], "--wait=false")


def source(name, repos, settings=None, **more):
    """A cluster of two rows before its backup, and two after it."""
    apply(manifest(name, repos, settings, secret=KEYS, **more))
    eventually(f"{name} is ready for backups", lambda: holds("ReadyForBackup", name), 300)
    sql("drop table if exists r; create table r (id int); insert into r values (1), (2)", name)
    apply(backup(f"{name}-base", repos[-1]["name"], cluster=name))
    eventually("a backup of it", lambda: state("perconapgbackup", f"{name}-base") == "Succeeded", 240)
    sql("insert into r values (3)", name)
    time.sleep(2)
    moment = sql("select to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USOF')", name)
    time.sleep(2)
    sql("insert into r values (4)", name)
    archive(name)
    return moment


def archive(name):
    """All that was written is in the archive."""
    # A segment in which nothing is would not be archived.
    sql("select pg_create_restore_point('archived')", name)
    segment = sql("select pg_walfile_name(pg_switch_wal())", name)
    eventually(f"WAL of {name} is archived", lambda: sql(
        f"select coalesce(last_archived_wal >= '{segment}', false) from pg_stat_archiver", name) == "t", 90)


def expect(name, wanted):
    if rows(cluster=name) != wanted:
        raise Failed(f"the rows of {name} are {rows(cluster=name)}, not {wanted}")
    note(f"{name} has the rows {wanted}")


def begun(name, wanted):
    eventually(f"{name} has begun", lambda: holds("Bootstrapped", name), 300)
    expect(name, wanted)
    note(f"{name}: " + condition("Bootstrapped", name)["message"])
    eventually(f"a first backup of {name}, of its own", lambda: succeeded(name), 300)
    if get("secret", f"{name}-restore") is not None:
        raise Failed("the keys of the source are still there")


def refused(name, reason):
    eventually(f"{name} is refused: {reason}", lambda: condition("Ready", name).get("reason") == reason, 60)
    note(f"{name}: " + condition("Ready", name)["message"])
    if get("statefulset", name) is not None:
        raise Failed("something was made for a cluster that is refused")


def clone_live(options):
    """A new cluster from a live one, out of its volume and to a time; the source runs on, and what cannot be is refused."""
    keys()
    moment = source("origin", [{"name": "repo1", "volume": volume()}])
    started = sql("select pg_postmaster_start_time()", "origin")
    from_origin = {"clusterName": "origin", "repoName": "repo1"}
    apply(manifest("clone", dataSource={"postgresCluster": from_origin}))
    begun("clone", "1,2,3,4")
    timed = dict(from_origin, options=["--type=time", f"--target='{moment}'"])
    apply(manifest("clone-then", dataSource={"postgresCluster": timed}))
    begun("clone-then", "1,2,3")
    sql("insert into r values (30)", "clone-then")
    expect("origin", "1,2,3,4")
    if sql("select pg_postmaster_start_time()", "origin") != started:
        raise Failed("the source was started again")
    shown("-n", "demo", "get", "pg", "clone-then", "-o", "jsonpath={.status.permafrost}")
    # Its claims are no way to begin, and it is not read from elsewhere unasked.
    for name, data, reason in (
            ("no-set", dict(from_origin, options=["--set=20200101-000000F"]), "BackupNotFound"),
            ("no-repo", dict(from_origin, repoName="repo3"), "RepositoryNotFound"),
            ("no-option", dict(from_origin, options=["--target-action=pause"]), "OptionInvalid"),
            ("no-source", dict(from_origin, clusterName="nobody"), "ClusterNotFound")):
        apply(manifest(name, dataSource={"postgresCluster": data}))
        refused(name, reason)
        kubectl("-n", "demo", "delete", "pg", name)
    other = manifest("abroad", dataSource={"postgresCluster": dict(from_origin, clusterNamespace="demo")})
    other["metadata"]["namespace"] = "copies"
    apply(other)

    def ready():
        for entry in (get("perconapgcluster", "abroad", "copies") or {}).get("status", {}).get("conditions", []):
            if entry["type"] in ("Ready", "Bootstrapped"):
                yield entry["type"], entry["status"], entry["reason"]

    eventually("another namespace is refused", lambda: ("Ready", "False", "CopyNotAllowed") in ready(), 60)
    kubectl("-n", "demo", "annotate", "pg", "origin", "permafrost.dev/copies-to=copies")
    eventually("it has begun when the source says so", lambda: (
        "Bootstrapped", "True", "ClusterBootstrapped") in ready(), 300)
    if sql("select string_agg(id::text, ',' order by id) from r", "abroad", "copies") != "1,2,3,4":
        raise Failed("the rows of the copy in another namespace are others")
    kubectl("-n", "copies", "delete", "pg", "abroad")
    for name in ("clone", "clone-then"):
        remove(name)


def clone_left(options):
    """From what a deleted cluster left: its volume lent to another, and gone on with under its own name."""
    if get("perconapgcluster", "origin") is None:
        keys()
        source("origin", [{"name": "repo1", "volume": volume()}])
    archive("origin")
    remove("origin", data=False)
    apply(manifest("heir", dataSource={"postgresCluster": {"clusterName": "origin", "repoName": "repo1"}}))
    begun("heir", "1,2,3,4")
    remove("heir")
    before = len(kubectl("-n", "demo", "get", "pvc", "origin-repo1", "-o", "name").split())
    apply(manifest("origin", dataSource={"postgresCluster": {"repoName": "repo1"}}))
    refused("origin", "DataPresent")
    kubectl("-n", "demo", "delete", "pvc", "pgdata-origin-0")
    eventually("it has begun in its own place", lambda: holds("Bootstrapped", "origin"), 300)
    expect("origin", "1,2,3,4")
    eventually("its old backups and a new one", lambda: repository("repo1", "origin").get("backups", 0) >= 3, 300)
    if before != 1:
        raise Failed("there was no claim left")
    shown("-n", "demo", "get", "pg-backup")
    remove("origin")


def clone_bucket(options):
    """From a bucket alone, by a configuration of its own, when the cluster that wrote it is gone with all its objects."""
    keys()
    source("lost", [bucket()], {"repo1-path": "/sources/lost"})
    status = get("perconapgbackup", "lost-base")["status"]
    remove("lost")
    for item in get("perconapgbackup"):
        if item["spec"]["pgCluster"] == "lost":
            kubectl("-n", "demo", "delete", "pg-backup", item["metadata"]["name"])
    path = status["destination"].split(BUCKET, 1)[1]
    data = {"stanza": "db", "configuration": [{"secret": {"name": "late-keys"}}], "global": {"repo1-path": path},
            "repo": bucket()}
    count = len(stored("sources/lost"))
    apply(manifest("found", dataSource={"pgbackrest": data}))
    refused("found", "SecretMissing")
    keys(name="late-keys")
    begun("found", "1,2,3,4")
    if len(stored("sources/lost")) != count:
        raise Failed("something was written to the source")
    # The source may be left in the manifest, and go.
    kubectl("-n", "demo", "delete", "secret", "late-keys")
    apply(backup("found-later", cluster="found"))
    eventually("a backup without the source's keys", lambda: state("perconapgbackup", "found-later") == "Succeeded", 240)
    remove("found")


def adopted(options):
    """In the place where the source lay: nothing is uploaded again, the next timeline goes on there, and no two write."""
    keys()
    source("elder", [bucket()], {"repo1-path": "/sources/adopted"})
    data = {"stanza": "db", "configuration": [{"secret": {"name": KEYS}}],
            "global": {"repo1-path": "/sources/adopted"}, "repo": bucket()}
    apply(manifest("younger", [bucket()], {"repo1-path": "/sources/adopted"}, secret=KEYS,
                   dataSource={"pgbackrest": data}))
    refused("younger", "RepositoryInUse")
    old = get("perconapgbackup", "elder-base")["status"]["backupName"]
    system = sql("select system_identifier from pg_control_system()", "elder")
    archive("elder")
    remove("elder")
    before = set(stored("sources/adopted"))
    begun("younger", "1,2,3,4")
    if sql("select system_identifier from pg_control_system()", "younger") != system:
        raise Failed("it is another database")
    if sql("select timeline_id from pg_control_checkpoint()", "younger") == "1":
        raise Failed("it is on the timeline of the one before")
    after = set(stored("sources/adopted"))
    if not {key for key in before if f"/{old}/" in key} <= after:
        raise Failed("the old backup is not there any more")
    note(f"{len(before)} objects before, {len(after)} after, {len(before - after)} of the old are gone")
    archive("younger")
    apply({"apiVersion": "pgv2.percona.com/v2", "kind": "PerconaPGRestore",
           "metadata": {"name": "to-old", "namespace": "demo"},
           "spec": {"pgCluster": "younger", "repoName": "repo1", "options": [f"--set={old}", "--type=immediate"]}})
    eventually("the old backup is restored there", lambda: state("perconapgrestore", "to-old") in (
        "Succeeded", "Failed"), 300)
    expect("younger", "1,2")
    remove("younger")


def standby(options):
    """One that follows by the archive: makes nothing there, is not promoted beside who writes, and then leads itself."""
    keys()
    settings = {"repo1-path": "/sources/standby"}
    source("main", [bucket()], settings)
    apply(manifest("far", [bucket()], settings, secret=KEYS, replicas=2,
                   standby={"enabled": True, "repoName": "repo1"}))
    eventually("it follows", lambda: holds("Standby", "far") and holds("Ready", "far"), 300)
    eventually("it has the rows", lambda: rows(cluster="far") == "1,2,3,4", 120)
    if sql("select pg_is_in_recovery()", "far") != "t":
        raise Failed("it writes")
    sql("insert into r values (5)", "main")
    archive("main")
    eventually("it has the next one", lambda: rows(cluster="far") == "1,2,3,4,5", 120)
    apply(backup("not-there", cluster="far"))
    eventually("it makes no backup", lambda: state("perconapgbackup", "not-there") == "Failed", 60)
    note(get("perconapgbackup", "not-there")["status"]["error"])
    change("far", {"spec": {"standby": {"enabled": False}}})
    eventually("it is told who writes", lambda: condition("Standby", "far").get("reason") == "RepositoryInUse", 60)
    note(condition("Standby", "far")["message"])
    sql("insert into r values (6)", "main")
    archive("main")
    change("main", {"spec": {"pause": True}})
    eventually("it is promoted", lambda: sql("select pg_is_in_recovery()", "far") == "f", 300)
    expect("far", "1,2,3,4,5,6")
    sql("insert into r values (7)", "far")
    eventually("a backup of its own", lambda: [
        item for item in succeeded("far") if item["spec"]["repoName"] == "repo1"], 300)
    eventually("all of its pods are well", lambda: holds("Ready", "far") and holds("ContinuousArchiving", "far"), 180)
    eventually("its replica streams", lambda: sql(
        "select count(*) from pg_stat_replication where state = 'streaming'", "far") == "1", 180)
    shown("-n", "demo", "get", "pg", "far", "-o", "jsonpath={.status.permafrost}")
    remove("main")
    remove("far")


SCENARIOS = [clone_live, clone_left, clone_bucket, adopted, standby]
