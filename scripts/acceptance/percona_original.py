"""What others' tools left: manifests of the original operator, and a repository that pgBackRest filled."""

import os
import re

from acceptance.percona import backup, condition, holds, manifest, state, succeeded, volume
from acceptance.percona_stores import (
    ACCOUNT, ACCOUNT_KEY, AZURE, CONTAINER, archived, cleared, clouds, content, fill, made, secret)
from acceptance.stage import Failed, apply, eventually, get, kubectl, log, note, pod_template, shown, sql


def original(options):
    """The original's cr.yaml, backup.yaml and restore.yaml, as they are: what is different is what Unsupported lists."""
    # They are not ours to keep.
    if not options.original:
        note("no --original: not tried")
        return
    text = {}
    for name in ("cr", "backup", "restore"):
        with open(os.path.join(options.original, f"{name}.yaml")) as file:
            text[name] = file.read()
    cluster, run, again = (re.search(r"^metadata:\n(?:  .*\n)*?  name: (\S+)", text[name], re.M).group(1) for name in (
        "cr", "backup", "restore"))
    with cleared(options, cluster):
        note(kubectl("-n", "demo", "apply", "-f", "-", stdin=text["cr"]).strip())
        eventually("the database", lambda: holds("Ready", cluster), 300)
        wanted = sum(entry["replicas"] for entry in get("perconapgcluster", cluster)["spec"]["instances"])
        eventually(f"{wanted} members", lambda: get("perconapgcluster", cluster)["status"]["postgres"]["ready"] == wanted, 240)
        eventually("the first backup", lambda: succeeded(cluster) and holds("ReadyForBackup", cluster), 120)
        message = condition("Unsupported", cluster)["message"]
        note("Unsupported:")
        for line in message.split("; "):
            note(f"    {line}")
        fill(cluster, 100)
        kubectl("-n", "demo", "apply", "-f", "-", stdin=text["backup"])
        eventually("the backup", lambda: state("perconapgbackup", run) == "Succeeded", 120)
        wanted = content(cluster)
        archived(cluster)
        kubectl("-n", "demo", "apply", "-f", "-", stdin=text["restore"])
        eventually("the restore", lambda: state("perconapgrestore", again) in ("Succeeded", "Failed"), 300)
        if state("perconapgrestore", again) != "Succeeded" or content(cluster) != wanted:
            raise Failed(f"{get('perconapgrestore', again)['status']}: {content(cluster)}, not {wanted}")
        shown("-n", "demo", "get", "pg,pg-backup,pg-restore,pods,deployments,services,pvc")


FILLING = f"""
export PGDATA=/tmp/data PGHOST=/tmp PGUSER=postgres PGBACKREST_CONFIG=/tmp/pgbackrest.conf PGBACKREST_STANZA=db
initdb --data-checksums --username=postgres --auth=trust > /dev/null
cat > /tmp/pgbackrest.conf <<END
[global]
repo1-type=azure
repo1-path=/filled
repo1-azure-container={CONTAINER}
repo1-azure-endpoint={AZURE}
repo1-azure-uri-style=path
repo1-azure-account={ACCOUNT}
repo1-azure-key={ACCOUNT_KEY}
repo1-storage-ca-file=/tls/ca.crt
repo1-retention-full=9
lock-path=/tmp/lock
log-path=/tmp/log
spool-path=/tmp/spool
compress-type=zst
[db]
pg1-path=/tmp/data
pg1-socket-path=/tmp
END
cat >> /tmp/data/postgresql.conf <<END
archive_mode = on
archive_command = 'pgbackrest --config=/tmp/pgbackrest.conf --stanza=db archive-push %p'
unix_socket_directories = '/tmp'
listen_addresses = ''
END
pg_ctl -w -l /tmp/postgresql.log start > /dev/null
pgbackrest version
pgbackrest stanza-create
psql -Xqc "create table big as select g as id, md5(g::text) || repeat(md5((g * 7)::text), 10) as t from generate_series(1, 3000) g" \\
    -c "create table r (id int)" -c "insert into r values (1)"
pgbackrest backup --type=full
psql -Xqc "insert into r values (2)"
pgbackrest backup --type=incr
psql -Xqc "insert into r values (3)"
pgbackrest check
psql -XAtqc "select (select string_agg(id::text, ',' order by id) from r) || ' ' || (select md5(string_agg(id || t, '' order by id)) from big)"
pg_ctl -w -m fast stop > /dev/null
pgbackrest info
"""


def pgbackrest_fills(options):
    """A repository in Azure's store that Debian's pgBackRest made of a PostgreSQL of its own; answers what that holds."""
    image = f"{options.prefix}permafrost-test-store:{options.tag}"
    # It loses what it had.
    clouds(options)
    kubectl("-n", "store", "delete", "pod", "-l", "app=azure")
    kubectl("-n", "store", "rollout", "status", "deployment/azure", "--timeout=60s")
    pod = pod_template({"app": "filling"}, {
        "name": "filling", "image": image, "command": ["sleep", "infinity"],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}, {"name": "tmp", "mountPath": "/tmp"}]},
        [{"name": "tls", "secret": {"secretName": "clouds"}}, {"name": "tmp", "emptyDir": {}}])
    pod.update({"apiVersion": "v1", "kind": "Pod"})
    pod["metadata"]["name"] = "filling"
    apply(pod, "store")
    kubectl("-n", "store", "wait", "pod/filling", "--for=condition=Ready", "--timeout=60s")
    output = kubectl("-n", "store", "exec", "filling", "--", "bash", "-ec", FILLING, timeout=300)
    kubectl("-n", "store", "delete", "pod", "filling")
    for line in output.splitlines():
        log.append("         " + line)
    note(output.splitlines()[0])
    return next(line for line in output.splitlines() if line.startswith("1,2,3 "))


def filled(options):
    """A repository that pgBackRest filled: a new cluster begins with it, and goes on in a repository of its own."""
    wanted = pgbackrest_fills(options)
    with cleared(options, "adopter"):
        secret("adopter-keys", **{
            "keys.conf": f"[global]\nrepo1-azure-account={ACCOUNT}\nrepo1-azure-key={ACCOUNT_KEY}\n",
            "clouds.crt": clouds(options)})
        source = {"pgbackrest": {
            "stanza": "db", "configuration": [{"secret": {"name": "adopter-keys"}}], "global": {
                "repo1-path": "/filled", "repo1-azure-endpoint": AZURE, "repo1-azure-uri-style": "path",
                "repo1-storage-ca-file": "/etc/pgbackrest/conf.d/clouds.crt"},
            "repo": {"name": "repo1", "azure": {"container": CONTAINER}}}}
        apply(manifest("adopter", [{"name": "repo1", "volume": volume()}], dataSource=source))
        eventually("the database", lambda: holds("Ready", "adopter"), 240)
        if content("adopter") != wanted:
            raise Failed(f"there is {content('adopter')}, not {wanted}")
        note(f"the data is that of pgBackRest's cluster: {wanted}")
        eventually("a backup of its own", lambda: succeeded("adopter"), 180)
        sql("insert into r values (4)", "adopter")
        apply(backup("adopter-2", options=["--type=incr"], cluster="adopter"))
        made("adopter-2")
        archived("adopter")


SCENARIOS = [original, filled]
