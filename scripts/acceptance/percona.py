"""Scenarios of Percona's dialect."""

import base64
import json
import os
import re
import subprocess
import time

from acceptance.stage import (
    BUCKET, REGION, ROOT, Failed, apply, eventually, get, in_client, kubectl, log, note, shown, sql, stored)

NAME = "demo"


def condition(type, name=NAME):
    cluster = get("perconapgcluster", name) or {}
    for entry in cluster.get("status", {}).get("conditions", []):
        if entry["type"] == type:
            return entry
    return {}


def holds(type, name=NAME):
    return condition(type, name).get("status") == "True"


def state(kind, name):
    return (get(kind, name) or {}).get("status", {}).get("state")


def repository(name, cluster=NAME):
    for entry in (get("perconapgcluster", cluster) or {}).get("status", {}).get("pgbackrest", {}).get("repos", []):
        if entry["name"] == name:
            return entry
    return {}


def backups(cluster=NAME):
    found = [item for item in get("perconapgbackup") if item["spec"]["pgCluster"] == cluster]
    return sorted(found, key=lambda item: item["metadata"]["creationTimestamp"])


def succeeded(cluster=NAME):
    return [item for item in backups(cluster) if item.get("status", {}).get("state") == "Succeeded"]


def volume(size="1Gi"):
    return {"volumeClaimSpec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}}


def manifest(name=NAME, repos=None, settings=None, replicas=1, secret=None, **spec):
    pgbackrest = {"repos": repos or [{"name": "repo1", "volume": volume()}], "global": settings or {}}
    if secret:
        pgbackrest["configuration"] = [{"secret": {"name": secret}}]
    body = {
        "postgresVersion": 17,
        "instances": [{"name": "instance1", "replicas": replicas, "dataVolumeClaimSpec": volume()["volumeClaimSpec"]}],
        "backups": {"pgbackrest": pgbackrest},
    }
    body.update(spec)
    return {"apiVersion": "pgv2.percona.com/v2", "kind": "PerconaPGCluster",
            "metadata": {"name": name, "namespace": "demo"}, "spec": body}


def backup(name, repo="repo1", options=("--type=full",), cluster=NAME):
    return {"apiVersion": "pgv2.percona.com/v2", "kind": "PerconaPGBackup",
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {"pgCluster": cluster, "repoName": repo, "options": list(options)}}


def restore(name, repo="repo1", options=(), cluster=NAME):
    return {"apiVersion": "pgv2.percona.com/v2", "kind": "PerconaPGRestore",
            "metadata": {"name": name, "namespace": "demo"},
            "spec": {"pgCluster": cluster, "repoName": repo, "options": list(options)}}


def rows(table="r", cluster=NAME):
    return sql(f"select string_agg(id::text, ',' order by id) from {table}", cluster)


def percona(options):
    """A cluster with a volume: repository host, claim, stanza and the first backup; then all types at once."""
    with open(os.path.join(ROOT, "deploy", "cr.yaml")) as file:
        kubectl("-n", "demo", "apply", "-f", "-", stdin=file.read())
    eventually("the database of deploy/cr.yaml", lambda: holds("Ready"), 240)
    eventually("the repository host", lambda: get("deployment", f"{NAME}-repo-host")["status"].get("readyReplicas") == 1)
    eventually("the claim of repo1 is bound", lambda: get("pvc", f"{NAME}-repo1")["status"]["phase"] == "Bound")
    eventually("the stanza", lambda: repository("repo1").get("stanzaCreated"), 120)
    eventually("the first backup, in full", lambda: [
        item for item in succeeded() if item["status"]["backupType"] == "full"], 180)
    eventually("ready for backups", lambda: holds("ReadyForBackup"), 60)
    shown("-n", "demo", "get", "pg,pg-backup,pods,deployments,services,secrets,pvc")
    sql("create table if not exists r (id int); insert into r values (1)", NAME)
    for type in ("full", "diff", "incr"):
        apply(backup(f"all-{type}", options=[f"--type={type}"]))
    eventually("full, differential and incremental, one after the other", lambda: all(
        state("perconapgbackup", f"all-{type}") == "Succeeded" for type in ("full", "diff", "incr")), 240)
    for type in ("full", "diff", "incr"):
        status = get("perconapgbackup", f"all-{type}")["status"]
        if status["backupType"] != type or not status["size"] or not status["backupName"]:
            raise Failed(f"all-{type}: {status}")
    shown("-n", "demo", "get", "pg-backup", "-o", "wide")
    shown("-n", "demo", "describe", "pg-backup", "all-incr")


def wrong(options):
    """What cannot be done fails at once, in words, and the database runs on."""
    started = sql("select pg_postmaster_start_time()", NAME)
    apply(backup("wrong-repository", repo="repo3"))
    apply(backup("wrong-option", options=["--type=full --pg1-path=/tmp"]))
    apply(backup("injected", options=["--type=full; touch /tmp/here"]))
    apply(restore("wrong-set", options=["--set=20200101-000000F"]))
    apply(restore("wrong-time", options=["--type=time", "--target='2001-01-01 00:00:00+00'"]))
    apply(restore("wrong-restore-option", options=["--target-action=shutdown"]))
    for kind, name in (("perconapgbackup", "wrong-repository"), ("perconapgbackup", "wrong-option"),
                       ("perconapgbackup", "injected"), ("perconapgrestore", "wrong-set"),
                       ("perconapgrestore", "wrong-time"), ("perconapgrestore", "wrong-restore-option")):
        eventually(f"{name} has failed", lambda kind=kind, name=name: state(kind, name) == "Failed", 90)
        note(f"{name}: " + get(kind, name)["status"].get("error", ""))
        if not get(kind, name)["status"].get("error"):
            raise Failed(f"{name} says nothing")
        kubectl("-n", "demo", "delete", kind, name)
    if sql("select pg_postmaster_start_time()", NAME) != started:
        raise Failed("PostgreSQL was started again")


def in_place(options):
    """Restore in place: to a time between two inserts, to a set, and to the end of WAL; each with a new backup."""
    sql("drop table if exists r; create table r (id int); insert into r values (1)", NAME)
    apply(backup("before"))
    eventually("a backup", lambda: state("perconapgbackup", "before") == "Succeeded", 180)
    sql("insert into r values (2)", NAME)
    time.sleep(2)
    moment = sql("select to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USOF')", NAME)
    time.sleep(2)
    sql("insert into r values (3); select pg_switch_wal()", NAME)
    time.sleep(3)
    apply(restore("to-time", options=["--type=time", f"--target='{moment}'"]))
    eventually("it is restored", lambda: state("perconapgrestore", "to-time") in ("Succeeded", "Failed"), 300)
    shown("-n", "demo", "describe", "pg-restore", "to-time")
    if rows() != "1,2":
        raise Failed(f"the rows are {rows()}, not 1,2")
    eventually("the cluster is well", lambda: holds("Ready") and holds("ContinuousArchiving"), 120)
    new = get("perconapgrestore", "to-time")["status"]["newBackupName"]
    eventually("the new backup", lambda: state("perconapgbackup", new) == "Succeeded", 180)
    label = get("perconapgbackup", "before")["status"]["backupName"]
    sql("insert into r values (4)", NAME)
    apply(restore("to-set", options=[f"--set={label}", "--type=immediate"]))
    eventually("a set is restored", lambda: state("perconapgrestore", "to-set") in ("Succeeded", "Failed"), 300)
    if rows() != "1":
        shown("-n", "demo", "describe", "pg-restore", "to-set")
        raise Failed(f"the rows are {rows()}, not 1")
    eventually("its backup", lambda: state("perconapgbackup", get("perconapgrestore", "to-set")["status"][
        "newBackupName"]) == "Succeeded", 180)
    sql("insert into r values (5); select pg_switch_wal()", NAME)
    time.sleep(3)
    apply(restore("to-end"))
    eventually("the end of WAL is restored", lambda: state("perconapgrestore", "to-end") in ("Succeeded", "Failed"), 300)
    if rows() != "1,5":
        shown("-n", "demo", "describe", "pg-restore", "to-end")
        raise Failed(f"the rows are {rows()}, not 1,5")
    shown("-n", "demo", "get", "pg-restore,pg-backup", "-o", "wide")


def killed(options):
    """The pod, and then the operator, is killed in the middle of a restore: it comes to its end all the same."""
    sql("drop table if exists k; create table k (id int); insert into k values (1); select pg_switch_wal()", NAME)
    sql("create table if not exists big as select g, md5(g::text) || repeat('x', 800) as t from "
        "generate_series(1, 200000) g", NAME)
    apply(backup("for-killing"))
    eventually("a backup", lambda: state("perconapgbackup", "for-killing") == "Succeeded", 180)
    for what in ("pod", "operator"):
        sql(f"insert into k values ({2 if what == 'pod' else 3}); select pg_switch_wal()", NAME)
        time.sleep(3)
        name = f"killed-{what}"
        apply(restore(name))
        eventually("it restores", lambda: (get("perconapgrestore", name)["status"] or {}).get(
            "stage") == "Restoring", 120, 0.1)
        time.sleep(2)
        if what == "pod":
            kubectl("-n", "demo", "delete", "pod", f"{NAME}-0", "--grace-period=0", "--force")
        else:
            kubectl("-n", "permafrost-system", "delete", "pod", "-l", "app.kubernetes.io/name=permafrost-operator",
                    "--grace-period=0", "--force")
        note(f"the {what} was killed")
        eventually("it is restored", lambda: state("perconapgrestore", name) in ("Succeeded", "Failed"), 420)
        shown("-n", "demo", "get", "pg-restore", name, "-o", "jsonpath={.status}")
        eventually("the cluster is well", lambda: holds("Ready") and holds("ContinuousArchiving"), 180)
        if state("perconapgrestore", name) != "Succeeded":
            raise Failed(f"{name} has failed")
        wanted = "1,2" if what == "pod" else "1,2,3"
        if rows("k") != wanted:
            raise Failed(f"the rows are {rows('k')}, not {wanted}")
        new = get("perconapgrestore", name)["status"]["newBackupName"]
        eventually("its backup", lambda: state("perconapgbackup", new) == "Succeeded", 180)


def several(options):
    """Volume and three buckets at once, one of them missing: it blocks none of the others; schedules of all types."""
    in_client(f"export AWS_ENDPOINT_URL=https://s3.{REGION}.amazonaws.com AWS_DEFAULT_REGION={REGION}; "
              f"for b in {BUCKET} percona-two; do aws s3 mb s3://$b || true; done")
    text = "[global]\n" + "".join(
        f"repo{key}-s3-key=administrator\nrepo{key}-s3-key-secret=administrator\n" for key in (2, 3, 4))
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "four-secrets", "namespace": "demo"},
           "data": {"s3.conf": base64.b64encode(text.encode()).decode()}})
    bucket = {"endpoint": f"s3.{REGION}.amazonaws.com", "region": REGION}
    repos = [{"name": "repo1", "volume": volume()},
             {"name": "repo2", "s3": dict(bucket, bucket=BUCKET)},
             {"name": "repo3", "s3": dict(bucket, bucket="percona-two")},
             {"name": "repo4", "s3": dict(bucket, bucket="there-is-no-such-bucket")}]
    repos[0]["schedules"] = {"full": "*/1 * * * *"}
    repos[1]["schedules"] = {"full": "0 0 1 1 *", "incremental": "*/1 * * * *"}
    settings = {"repo1-retention-full": "2", "repo2-path": "/four/repo2", "repo3-path": "/four/repo3",
                "repo4-path": "/four/repo4"}
    apply(manifest("four", repos, settings, secret="four-secrets"))
    eventually("the database", lambda: holds("Ready", "four"), 240)
    eventually("three repositories have a stanza", lambda: all(
        repository(name, "four").get("stanzaCreated") for name in ("repo1", "repo2", "repo3")), 180)
    eventually("the missing bucket is told", lambda: "there-is-no-such-bucket" in repository(
        "repo4", "four").get("message", ""), 90)
    eventually("scheduled backups to two of them", lambda: {"repo1", "repo2"} <= {
        item["spec"]["repoName"] for item in succeeded("four")}, 240)
    apply(backup("to-three", "repo3", cluster="four"))
    eventually("one on demand to the third", lambda: state("perconapgbackup", "to-three") == "Succeeded", 180)
    if not [key for key in stored("four/repo3", "percona-two") if key.endswith("/backup.manifest")]:
        raise Failed("nothing is in the bucket of repo3")
    eventually("retention by count: objects and data together", lambda: len([
        item for item in succeeded("four") if item["spec"]["repoName"] == "repo1"
        and item["status"]["backupType"] == "full"]) == 2 and len(backups("four")) > 4, 300, 2)
    shown("-n", "demo", "get", "pg-backup")
    kubectl("-n", "demo", "patch", "pg", "four", "--type=merge", "-p", json.dumps({"spec": {"backups": {"pgbackrest": {
        "repos": [dict(entry, schedules=None) for entry in repos]}}}}))
    time.sleep(5)
    count = len(backups("four"))
    time.sleep(65)
    if len(backups("four")) > count:
        raise Failed("backups are made though no schedule is left")
    note("schedules are gone: no backup was made in 65 s")
    shown("-n", "demo", "get", "pg", "four", "-o", "yaml")
    kubectl("-n", "demo", "delete", "pg", "four")
    eventually("the cluster is gone", lambda: get("perconapgcluster", "four") is None, 60)
    if get("pvc", "four-repo1") is None:
        raise Failed("the claim of the repository went with the cluster")


def guarded(options):
    """Backups are turned off with two keys only, and on again; the claim and what is in it stay."""
    kubectl("-n", "demo", "patch", "pg", NAME, "--type=merge", "-p", '{"spec":{"backups":{"enabled":false}}}')
    eventually("it is told what is missing", lambda: "authorizeBackupRemoval" in condition("Progressing").get(
        "message", ""), 60)
    if get("deployment", f"{NAME}-repo-host") is None:
        raise Failed("the repository host went without the second key")
    kubectl("-n", "demo", "annotate", "pg", NAME, "pgv2.percona.com/authorizeBackupRemoval=true")
    eventually("no repository any more", lambda: not (get("perconapgcluster", NAME)["status"].get(
        "pgbackrest", {}).get("repos")), 90)
    if get("pvc", f"{NAME}-repo1") is None:
        raise Failed("the claim went")
    kubectl("-n", "demo", "annotate", "pg", NAME, "pgv2.percona.com/authorizeBackupRemoval-")
    kubectl("-n", "demo", "patch", "pg", NAME, "--type=merge", "-p", '{"spec":{"backups":{"enabled":true}}}')
    eventually("the repository again, with its backups", lambda: repository("repo1").get("backups", 0) > 0, 180)
    apply(backup("enabled-again"))
    eventually("a backup", lambda: state("perconapgbackup", "enabled-again") == "Succeeded", 180)
    kubectl("-n", "demo", "patch", "pg", NAME, "--type=merge", "-p", '{"spec":{"pause":true}}')
    eventually("paused", lambda: not [pod for pod in get("pods") if pod["metadata"]["labels"].get(
        "permafrost.dev/cluster") == NAME and pod["metadata"]["labels"].get("permafrost.dev/part") == "database"], 180)
    kubectl("-n", "demo", "patch", "pg", NAME, "--type=merge", "-p", '{"spec":{"pause":false}}')
    eventually("resumed", lambda: holds("Ready") and holds("ContinuousArchiving"), 180)
    kubectl("-n", "demo", "delete", "pg", NAME)
    eventually("the cluster is gone", lambda: get("perconapgcluster", NAME) is None, 60)
    if get("pvc", f"{NAME}-repo1") is None:
        raise Failed("the claim of the repository went with the cluster")
    note("the cluster is gone, and its repository is not")


def percona_guide(options):
    """Every command of docs/kubernetes-percona.md, in its order."""
    with open(os.path.join(ROOT, "docs", "kubernetes-percona.md")) as file:
        code = re.findall(r"```sh run\n(.*?)```", file.read(), re.S)
    if len(code) < 4:
        raise Failed(f"docs/kubernetes-percona.md has {len(code)} commands")
    for text in code:
        start = time.monotonic()
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", text], capture_output=True, text=True)
        note(f"{time.monotonic() - start:.1f} s: … {text.strip().splitlines()[-1][:100]}")
        for line in done.stdout.rstrip().splitlines()[-12:]:
            log.append("         " + line)
        if done.returncode != 0:
            raise Failed(f"{text.strip()[:200]}: {done.stdout} {done.stderr}")
        if "count(*) from items" in text and done.stdout.strip().splitlines()[-1] != "100":
            raise Failed(f"the restored table has {done.stdout.strip()} rows, not 100")


SCENARIOS = [percona, wrong, in_place, killed, several, guarded, percona_guide]
