"""The pages on restoring, and on coming from other operators: every command of them, in its order, and whether what they
say is true. What an operator that is not here has left behind is made by hand: a real database, and real objects."""

import base64
import json
import os
import re
import subprocess
import tempfile
import time

from acceptance import percona, stackgres
from acceptance.percona_stores import clear
from acceptance.stage import (
    BUCKET, REGION, ROOT, Failed, apply, eventually, get, in_client, install, kubectl, log, note, pod_template, shown, sql,
    stored)

ORDERS = "example-orders"
ORDERS_PATH = "pgbackrest/orders"
OLD_POD = "orders-main-abcd-0"


def trusted():
    return base64.b64decode(get("secret", "tls", "store")["data"]["ca.crt"]).decode()


def make_way(name):
    """What another page has left of a cluster of this name goes, its volumes too."""
    clear(name)
    eventually(f"nothing of a cluster {name} is left", lambda: not get("perconapgcluster", name) and not [
        item for kind in ("pods", "pvc", "secret", "service") for item in get(kind)
        if item["metadata"].get("labels", {}).get("permafrost.dev/cluster") == name], 240)


def run_page(options, name, expected, between=lambda text: None):
    """Runs the blocks of a page that are marked, in order.

    expected: what the last line of a block's output must be, by a part of the block.
    between: called with each block when it has been run.
    """
    with open(os.path.join(ROOT, "docs", name)) as file:
        blocks = re.findall(r"```sh (run|install)\n(.*?)```", file.read(), re.S)
    wanted = dict(expected)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as programs:
        os.symlink(os.path.join(ROOT, "bin", "permafrost"), os.path.join(programs, "kubectl-permafrost"))
        environment = dict(os.environ, PATH=programs + ":" + os.environ["PATH"])
        for kind, text in blocks:
            start = time.monotonic()
            if kind == "install":
                if "--force-conflicts -f deploy/bundle.yaml" not in text:
                    raise Failed(f"this is not how the operator is installed: {text}")
                install(options, trusted())
                between(text)
                continue
            done = subprocess.run(["bash", "-eo", "pipefail", "-c", text], cwd=folder, env=environment,
                                  capture_output=True, text=True, timeout=900)
            note(f"{time.monotonic() - start:.1f} s: … {text.strip().splitlines()[-1][:100]}")
            for line in (done.stdout + done.stderr).rstrip().splitlines()[-14:]:
                log.append("         " + line)
            if done.returncode != 0:
                raise Failed(f"{text.strip()[:200]}: {done.stdout} {done.stderr}")
            for part in [part for part in wanted if part in text]:
                last = (done.stdout.strip().splitlines() or [""])[-1]
                if last != wanted.pop(part):
                    raise Failed(f"{part}: {last}")
            between(text)
    if wanted:
        raise Failed(f"docs/{name} has no {list(wanted)}")


def stop_operator():
    kubectl("-n", "permafrost-system", "scale", "deployment", "permafrost-operator", "--replicas=0")
    eventually("our operator is not there", lambda: not [
        pod for pod in get("pods", namespace="permafrost-system")
        if pod["metadata"]["labels"].get("app.kubernetes.io/name") == "permafrost-operator"], 60)


def idle_deployment(options, name, namespace, labels):
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    pod = pod_template(labels, {"name": "operator", "image": f"{options.prefix}permafrost-test-store:{options.tag}",
                                "command": ["sleep", "infinity"]}, [])
    apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": {
        "replicas": 1, "selector": {"matchLabels": labels}, "template": pod}}, namespace)


def set_status(kind, name, status):
    kubectl("-n", "demo", "patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))


def without_finalizers(kind, name):
    kubectl("-n", "demo", "patch", kind, name, "--type=merge", "-p", '{"metadata":{"finalizers":[]}}', check=False)


# Percona --------------------------------------------------------------------------------------------------------------


def old_exec(*words):
    return kubectl("-n", "demo", "exec", OLD_POD, "-c", "database", "--", *words)


def old_sql(text, database="orders"):
    return old_exec("psql", "-X", "-U", "postgres", "-d", database, "-Atqc", text).strip()


OLD_SERVER = """
export PATH=/usr/lib/postgresql/17/bin:$PATH
if [ ! -e $PGDATA/PG_VERSION ]; then
    initdb -A trust -U postgres -E UTF8 --locale=C.UTF-8 --data-checksums $PGDATA
    printf '%s\\n' "unix_socket_directories = '/tmp'" "archive_mode = on" "archive_timeout = 60" \\
        "archive_command = 'pgbackrest --stanza=db archive-push %p'" >> $PGDATA/postgresql.conf
fi
trap 'pg_ctl -D $PGDATA stop -m fast' TERM
postgres -D $PGDATA &
wait
wait
"""


def old_server(options, repository, labels, further):
    """A pod with PostgreSQL and pgBackRest of Debian, as the Percona operator has it; further: name, volume, path."""
    settings = dict(repository, PG1_PATH="/pgdata/pg17", PG1_SOCKET_PATH="/tmp", PG1_USER="postgres", START_FAST="y",
                    REPO1_RETENTION_FULL="4", LOCK_PATH="/tmp/lock", LOG_LEVEL_FILE="off", SPOOL_PATH="/tmp/spool")
    environment = [{"name": "PGBACKREST_" + key, "value": value} for key, value in settings.items()]
    environment += [{"name": "PGDATA", "value": "/pgdata/pg17"}, {"name": "PGHOST", "value": "/tmp"},
                    {"name": "HOME", "value": "/tmp"}]
    name, source, path = further
    pod = pod_template(labels, {
        "name": "database", "image": f"{options.prefix}permafrost-test-store:{options.tag}",
        "command": ["bash", "-ec", OLD_SERVER], "env": environment,
        "readinessProbe": {"exec": {"command": ["psql", "-U", "postgres", "-c", "select 1"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/pgdata"}, {"name": "tmp", "mountPath": "/tmp"},
                         {"name": name, "mountPath": path}]},
        [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}, dict(source, name=name)])
    pod["spec"]["terminationGracePeriodSeconds"] = 60
    return pod


def fill_old():
    """A database with 100 rows and a full backup."""
    # The server that initdb runs answers too.
    eventually("the old server", lambda: old_exec("psql", "-U", "postgres", "-Atc", "show archive_mode").strip() == "on")
    old_sql("create role orders login password 'as-before'", "postgres")
    old_sql("create database orders owner orders", "postgres")
    old_sql("create table items as select generate_series(1, 100) as id; alter table items owner to orders")
    old_exec("pgbackrest", "--stanza=db", "stanza-create")
    old_exec("pgbackrest", "--stanza=db", "--type=full", "backup")


def old_volume(options):
    """The claim of a repository that an old cluster has left, and that pgBackRest filled."""
    label = {"postgres-operator.crunchydata.com/cluster": "orders"}
    apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {
        "name": "orders-repo1", "namespace": "demo", "labels": label}, "spec": percona.volume()["volumeClaimSpec"]})
    pod = old_server(options, {"REPO1_TYPE": "posix", "REPO1_PATH": "/pgbackrest/repo1"}, label, (
        "repository", {"persistentVolumeClaim": {"claimName": "orders-repo1"}}, "/pgbackrest/repo1"))
    pod.update({"apiVersion": "v1", "kind": "Pod"})
    pod["metadata"]["name"] = OLD_POD
    apply(pod, "demo")
    kubectl("-n", "demo", "wait", f"pod/{OLD_POD}", "--for=condition=Ready", "--timeout=90s")
    fill_old()
    old_sql("insert into items select 1")
    kubectl("-n", "demo", "delete", "pod", OLD_POD)


def hanging():
    """Objects that were deleted after the operators of their finalizers."""
    cluster = percona.manifest("orders", replicas=1)
    cluster["metadata"]["finalizers"] = ["internal.percona.com/stop-watchers"]
    cluster["spec"].update(unmanaged=True)
    apply(cluster)
    apply({"apiVersion": "upstream.pgv2.percona.com/v1beta1", "kind": "PostgresCluster", "metadata": {
        "name": "orders", "namespace": "demo", "finalizers": ["postgres-operator.crunchydata.com/finalizer"]}})
    for kind in ("perconapgcluster", "postgrescluster"):
        kubectl("-n", "demo", "delete", kind, "orders", "--wait=false")


def old_percona(options):
    """What the Percona operator leaves: its Deployment, the objects of a cluster, a server that pgBackRest backs up."""
    idle_deployment(options, "percona-postgresql-operator", "percona",
                    {"pgv2.percona.com/control-plane": "postgres-operator"})
    apply({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": "postgresclusters.upstream.pgv2.percona.com"},
           "spec": {"group": "upstream.pgv2.percona.com", "scope": "Namespaced",
                    "names": {"kind": "PostgresCluster", "plural": "postgresclusters", "singular": "postgrescluster"},
                    "versions": [{"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}})
    kubectl("wait", "crd/postgresclusters.upstream.pgv2.percona.com", "--for=condition=Established", "--timeout=30s")
    label = {"postgres-operator.crunchydata.com/cluster": "orders"}
    cluster = percona.manifest("orders", replicas=1)
    cluster["metadata"].update(finalizers=[
        "percona.com/delete-backups", "percona.com/delete-pvc", "internal.percona.com/stop-watchers"])
    apply(cluster)
    set_status("perconapgcluster", "orders", {"state": "ready"})

    def owner(api, kind):
        found = get(kind.lower(), "orders")
        return [{"apiVersion": api, "kind": kind, "name": "orders", "uid": found["metadata"]["uid"], "controller": True}]

    apply({"apiVersion": "upstream.pgv2.percona.com/v1beta1", "kind": "PostgresCluster", "metadata": {
        "name": "orders", "finalizers": ["postgres-operator.crunchydata.com/finalizer"],
        "ownerReferences": owner("pgv2.percona.com/v2", "PerconaPGCluster")}}, "demo")
    inner = owner("upstream.pgv2.percona.com/v1beta1", "PostgresCluster")
    apply({"apiVersion": "v1", "kind": "Service", "metadata": {
        "name": "orders-primary", "labels": label, "ownerReferences": inner}, "spec": {"ports": [{"port": 5432}]}}, "demo")
    apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {
        "name": "orders-main-abcd-pgdata", "labels": label}, "spec": percona.volume()["volumeClaimSpec"]}, "demo")
    for name, labels, data in (
            ("orders-pguser-orders", label, {"user": "orders", "password": "as-before", "dbname": "orders"}),
            ("orders-pgbackrest-secrets", {}, {
                "s3.conf": "[global]\nrepo1-s3-key=administrator\nrepo1-s3-key-secret=administrator\n"}),
            ("old-authority", {}, {"ca.crt": trusted()})):
        apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels},
               "data": {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}}, "demo")
    in_client(f"export AWS_ENDPOINT_URL=https://s3.{REGION}.amazonaws.com AWS_DEFAULT_REGION={REGION}; "
              f"aws s3 rb --force s3://{ORDERS} || true; aws s3 mb s3://{ORDERS}")
    pod = old_server(options, {
        "REPO1_TYPE": "s3", "REPO1_PATH": "/" + ORDERS_PATH, "REPO1_S3_BUCKET": ORDERS, "REPO1_S3_REGION": REGION,
        "REPO1_S3_ENDPOINT": f"s3.{REGION}.amazonaws.com", "REPO1_S3_KEY": "administrator",
        "REPO1_S3_KEY_SECRET": "administrator", "REPO1_STORAGE_CA_FILE": "/authority/ca.crt"},
        dict(label, old="orders"), ("authority", {"secret": {"secretName": "old-authority"}}, "/authority"))
    apply({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {
        "name": "orders-main-abcd", "labels": label, "ownerReferences": inner}, "spec": {
        "replicas": 1, "serviceName": "orders-pods", "selector": {"matchLabels": {"old": "orders"}}, "template": pod}},
        "demo")
    kubectl("-n", "demo", "rollout", "status", "statefulset/orders-main-abcd", "--timeout=120s")
    fill_old()
    old_sql("insert into items select generate_series(101, 150)")
    backup = json.loads(old_exec("pgbackrest", "--stanza=db", "--output=json", "info"))[0]["backup"][0]
    note(f"pgBackRest {backup['backrest']['version']} has made {backup['label']}")
    name = "orders-repo1-full-x7k2p"
    apply(percona.backup(name, cluster="orders"))
    set_status("perconapgbackup", name, {
        "state": "Succeeded", "backupName": backup["label"], "backupType": "full", "storageType": "s3",
        "destination": f"s3://{ORDERS}/{ORDERS_PATH}", "size": backup["info"]["repository"]["delta"],
        "completed": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(backup["timestamp"]["stop"])),
        "repo": {"name": "repo1", "s3": {"bucket": ORDERS, "endpoint": f"s3.{REGION}.amazonaws.com", "region": REGION}}})
    return backup["label"], name


def coming_from_percona(options):
    """Every command of docs/coming-from-percona.md: a repository that pgBackRest filled goes on with another operator."""
    make_way("orders")
    stop_operator()
    label, name = old_percona(options)
    before = set(stored(f"{ORDERS_PATH}/backup/db/{label}/", ORDERS))
    if not before:
        raise Failed(f"{label} is not in the bucket")

    def old_operator(text):
        """Does what it is asked, as the Percona operator would."""
        if text.rstrip().endswith("""'{"spec":{"pause":true}}'"""):
            kubectl("-n", "demo", "scale", "statefulset", "orders-main-abcd", "--replicas=0")
            eventually("the old server has stopped", lambda: get("pod", OLD_POD) is None)
            set_status("perconapgcluster", "orders", {"state": "paused"})
        if "delete pg orders --wait=false" in text:
            left = get("perconapgcluster", "orders")["metadata"]["finalizers"]
            if left != ["internal.percona.com/stop-watchers"]:
                raise Failed(f"the old operator would act on {left}")
            kubectl("-n", "demo", "delete", "postgrescluster", "orders", "--wait=false")
            without_finalizers("postgrescluster", "orders")
            eventually("what it had is gone", lambda: get("service", "orders-primary") is None)
            without_finalizers("perconapgcluster", "orders")
        if "delete pvc -l" in text:
            moved()
        if text.rstrip().endswith("kubectl -n demo delete pg orders"):
            kubectl("-n", "demo", "delete", "pg-backup", "--all")
            kubectl("-n", "demo", "delete", "pvc", "pgdata-orders-0")
            old_volume(options)
        if "postgresCluster:" in text:
            eventually("WAL goes to the old volume", lambda: percona.holds("ContinuousArchiving", "orders"), 120)
            said = kubectl("-n", "demo", "exec", "orders-0", "-c", "agent", "--", "permafrost", "--stanza=db",
                           "--output=json", "info")
            if len(json.loads(said)[0]["backup"]) < 1:
                raise Failed(f"the old backup is not there: {said}")
            kubectl("-n", "demo", "delete", "pg", "orders")
            hanging()

    def moved():
        after = stored(f"{ORDERS_PATH}/backup/db/", ORDERS)
        if not before <= set(after):
            raise Failed("the old backup is not as it was")
        labels = {key.split("/")[4] for key in after if key.endswith("/backup.manifest")}
        made = [item["status"] for item in percona.succeeded("orders") if item["metadata"]["name"] != name]
        if not made or made[0]["backupType"] != "full" or not {label, made[0]["backupName"]} <= labels:
            raise Failed(f"in the bucket are {labels}, and made were {made}")
        segments = [key.rsplit("/", 1)[1] for key in stored(f"{ORDERS_PATH}/archive/db/17-1/", ORDERS)]
        if not [key for key in segments if key.startswith("00000001")] or not [
                key for key in segments if key.startswith("00000002")]:
            raise Failed("the archive has not both timelines")
        if get("perconapgbackup", name) is None:
            raise Failed("the object of the old backup is gone")
        login = kubectl("-n", "demo", "exec", "orders-0", "-c", "patroni", "--", "psql", "-XAtc", "select current_user",
                        "postgresql://orders:as-before@orders-primary.demo.svc/orders").strip()
        if login != "orders":
            raise Failed(f"logged in as {login}")
        if get("pvc", "orders-main-abcd-pgdata") or not get("pvc", "pgdata-orders-0"):
            raise Failed("the wrong claim was deleted")
        shown("-n", "demo", "get", "pg,pg-backup", "-o", "wide")

    try:
        # The sum of 1 to 100, and the 1 that is in the WAL alone.
        run_page(options, "coming-from-percona.md", {
            "count(*) from items": "150", "sum(id) from items": "5051"}, old_operator)
        eventually("what hung is gone", lambda: get("perconapgcluster", "orders") is None and get(
            "postgrescluster", "orders") is None, 30)
        kubectl("-n", "demo", "delete", "pg-backup", "--all")
        kubectl("-n", "demo", "delete", "pvc", "pgdata-orders-0", "orders-repo1")
        kubectl("-n", "demo", "delete", "secret", "orders-pguser-orders", "orders-pgbackrest-secrets", "old-authority")
    finally:
        for kind in ("postgrescluster", "perconapgcluster"):
            kubectl("-n", "demo", "delete", kind, "orders", "--wait=false", check=False)
            without_finalizers(kind, "orders")
        kubectl("delete", "crd", "postgresclusters.upstream.pgv2.percona.com", "--wait=false", check=False)
        kubectl("delete", "namespace", "percona", "--wait=false", check=False)


# StackGres ------------------------------------------------------------------------------------------------------------


def bucket(name="bucket"):
    """An SGObjectStorage."""
    in_client(f"export AWS_ENDPOINT_URL=https://s3.{REGION}.amazonaws.com AWS_DEFAULT_REGION={REGION}; "
              f"aws s3 mb s3://{BUCKET} || true")
    key = base64.b64encode(b"administrator").decode()
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-key", "namespace": "demo"},
           "data": {"id": key, "secret": key}})
    apply({"apiVersion": "stackgres.io/v1beta1", "kind": "SGObjectStorage", "metadata": {
        "name": name, "namespace": "demo"}, "spec": {"type": "s3", "s3": {
            "bucket": BUCKET, "region": REGION, "awsCredentials": {"secretKeySelectors": {
                "accessKeyId": {"name": f"{name}-key", "key": "id"},
                "secretAccessKey": {"name": f"{name}-key", "key": "secret"}}}}}})


def shop(backups=True):
    manifest = stackgres.cluster_manifest("shop", schedule=None)
    if backups:
        manifest["spec"]["configurations"]["backups"][0]["sgObjectStorage"] = "bucket"
    else:
        del manifest["spec"]["configurations"]
    apply(manifest)
    eventually("the database of shop", lambda: stackgres.holds("Ready", "shop"), 180)


def old_stackgres(options):
    """What StackGres leaves: its Deployment, webhooks, a CronJob, a backup of WAL-G, and a cluster that goes on alone."""
    shop(backups=False)
    for name in ("crm", "web"):
        sql(f"create database {name}", "shop")
    sql("create role app login password 'as-before'", "shop")

    def inside(database, text):
        return kubectl("-n", "demo", "exec", "shop-0", "-c", "patroni", "--", "psql", "-X", "-U", "postgres", "-d", database,
                       "-Atqc", text).strip()

    inside("crm", "create table customers as select generate_series(1, 100) as id; alter table customers owner to app")
    inside("web", "create table visits (id serial primary key, at timestamptz default now()); "
                  "insert into visits select from generate_series(1, 100)")
    stop_operator()
    labels = {"app": "stackgres-operator"}
    idle_deployment(options, "stackgres-operator", "stackgres", labels)
    service = {"namespace": "stackgres", "name": "stackgres-operator"}
    for kind in ("Validating", "Mutating"):
        # It would hold everything up, since nobody answers.
        apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration",
               "metadata": {"name": "stackgres-operator"}, "webhooks": [{
                   "name": "sgcluster.stackgres.io", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                   "failurePolicy": "Ignore", "timeoutSeconds": 1, "clientConfig": {"service": service}, "rules": [{
                       "operations": ["UPDATE"], "apiGroups": ["stackgres.io"], "apiVersions": ["*"],
                       "resources": ["sgclusters"]}]}]})
    kubectl("patch", "crd", "sgclusters.stackgres.io", "--type=merge", "-p", json.dumps({"spec": {"conversion": {
        "strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"service": service}}}}}))
    image = f"{options.prefix}permafrost-test-store:{options.tag}"
    apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "shop-backup"}, "spec": {
        "schedule": "0 3 * * *", "jobTemplate": {"spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "create-backup", "image": image, "command": ["true"]}]}}}}}},
        "demo")
    old = stackgres.backup_manifest("shop-2026-01-01-03-00-00", "shop", managed=True)
    old["metadata"]["labels"] = {"stackgres.io/scheduled-backup": "true"}
    old["status"] = {"internalName": "base_00000001000000000000000E", "backupPath": "sgbackups.stackgres.io/demo/shop/x/17",
                     "process": {"status": "Completed", "managedLifecycle": True},
                     "sgBackupConfig": {"baseBackups": {"compression": "lz4"}, "storage": get(
                         "sgobjectstorage", "bucket")["spec"]}}
    apply(old)
    return inside


def coming_from_stackgres(options):
    """Every command of docs/coming-from-stackgres.md: a dump of one database, replication of another, nothing disturbed."""
    bucket()
    inside = old_stackgres(options)
    started = inside("postgres", "select pg_postmaster_start_time()")
    service = get("service", "shop")["spec"]
    generation = get("statefulset", "shop")["metadata"]["generation"]

    def meanwhile(text):
        if "create subscription" in text:
            inside("web", "insert into visits select from generate_series(1, 20)")
        if "srsubstate" in text:
            inside("web", "insert into visits select from generate_series(1, 5)")
        if "sgbackup/after-the-move" in text:
            # Of the old cluster, with our operator at work for minutes.
            now = get("statefulset", "shop")["metadata"]["generation"]
            if get("service", "shop")["spec"] != service or now != generation:
                raise Failed("the old cluster's objects were changed")
            if get("sgbackup", "shop-2026-01-01-03-00-00")["metadata"].get("finalizers"):
                raise Failed("the old backup was taken over")
            if inside("postgres", "select pg_postmaster_start_time()") != started:
                raise Failed("the old server was started again")

    try:
        run_page(options, "coming-from-stackgres.md", {
            "count(*) from customers": "100", "count(*) from visits": "125"}, meanwhile)
        new = kubectl("-n", "demo", "exec", "shop-new-0", "-c", "patroni", "--", "psql", "-X", "-U", "postgres", "-d", "web",
                      "-Atqc", "insert into visits default values returning id").strip()
        if new != "126":
            raise Failed(f"the sequence goes on at {new}")
        login = kubectl("-n", "demo", "exec", "shop-new-0", "-c", "patroni", "--", "psql", "-XAtc",
                        "select count(*) from customers", "postgresql://app:as-before@shop-new.demo.svc/crm").strip()
        if login != "100":
            raise Failed(f"app sees {login}")
        shown("-n", "demo", "get", "sgcluster,sgbackup", "-o", "wide")
        kubectl("-n", "demo", "delete", "sgbackup", "after-the-move")
        kubectl("-n", "demo", "delete", "sgcluster", "shop-new")
    finally:
        for kind in ("sgcluster", "sgbackup"):
            kubectl("-n", "demo", "annotate", kind, "--all", "stackgres.io/reconciliation-pause-", check=False)
        kubectl("-n", "demo", "delete", "cronjob", "shop-backup", "--wait=false", check=False)
        kubectl("delete", "namespace", "stackgres", "--wait=false", check=False)
        for kind in ("validating", "mutating"):
            kubectl("delete", f"{kind}webhookconfiguration", "stackgres-operator", check=False)
        kubectl("patch", "crd", "sgclusters.stackgres.io", "--type=merge", "-p",
                '{"spec":{"conversion":{"strategy":"None","webhook":null}}}', check=False)


# Restoring ------------------------------------------------------------------------------------------------------------


def restoring(options):
    """Every command of docs/restore.md that is for Kubernetes."""
    make_way("orders")
    apply(percona.manifest("orders"))
    eventually("the database of orders", lambda: percona.holds("Ready", "orders"), 240)
    eventually("its first backup", lambda: percona.succeeded("orders"), 240)
    sql("create table items as select generate_series(1, 100) as id; select pg_switch_wal()", "orders")
    bucket()
    shop()
    eventually("its WAL is archived", lambda: stackgres.holds("ContinuousArchiving", "shop"), 120)
    sql("create table orders as select generate_series(1, 100) as id", "shop")
    apply(stackgres.backup_manifest("nightly", "shop"))
    eventually("a backup of shop", lambda: stackgres.phase(get("sgbackup", "nightly")) == "Completed", 180)
    run_page(options, "restore.md", {
        "count(*) from items": "100", "to_regclass": "t", "shop-before-0 -c patroni -- psql": "100",
        "shop-0 -c patroni -- psql -U postgres -Atc": "100"})
    for restore in get("perconapgrestore"):
        if restore["spec"]["pgCluster"] == "orders" and restore["status"]["state"] != "Succeeded":
            raise Failed(f"{restore['metadata']['name']}: {restore['status']}")
    timelines = {item["status"].get("timeline") for item in percona.succeeded("orders")}
    if len(timelines) < 2:
        raise Failed(f"the backups are of the timelines {timelines}")
    kubectl("-n", "demo", "delete", "pg", "orders")
    kubectl("-n", "demo", "delete", "pg-backup,pg-restore", "--all")
    kubectl("-n", "demo", "delete", "sgbackup", "nightly")
    kubectl("-n", "demo", "delete", "sgcluster", "shop")


SCENARIOS = [restoring, coming_from_stackgres, coming_from_percona]
