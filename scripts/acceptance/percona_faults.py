"""Scenarios of Percona's dialect: what is killed in the middle, what is deleted, certificates that change."""

import base64
import json
import os
import tempfile
import time

from acceptance.percona import backup, backups, holds, manifest, repository, restore, rows, state, succeeded, volume
from acceptance.percona_stores import S3, archived, cleared, clear, content, fill, kill_operator, made, secret, started
from acceptance.stage import (
    REGION, Failed, apply, eventually, get, in_client, kubectl, no_new_pods, note, openssl, primary, shown,
    sql, stored)

# So slow that the middle takes ten seconds.
SLOWLY = "--rate-limit-disk=3MiB"


def killer(options):
    """A pod that sees all processes of the node: to kill is what no pod may do to its first process."""
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": "machine", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}})
    apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "killer", "namespace": "machine"}, "spec": {
        "hostPID": True, "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "containers": [{
            "name": "killer", "image": f"{options.prefix}permafrost-test-store:{options.tag}",
            "command": ["sleep", "infinity"], "securityContext": {"runAsUser": 0, "privileged": True}}]}})
    kubectl("-n", "machine", "wait", "pod/killer", "--for=condition=Ready", "--timeout=60s")


def kill(what, pod, container):
    """SIGKILL for all processes of a container."""
    for status in get("pod", pod)["status"]["containerStatuses"]:
        if status["name"] == container:
            id = status["containerID"].split("//")[1]
            count = status["restartCount"]
    output = kubectl("-n", "machine", "exec", "killer", "--", "sh", "-c",
                     f"for p in $(grep -ls {id} /proc/[0-9]*/cgroup); do p=${{p#/proc/}}; kill -9 ${{p%/cgroup}} && echo $p; done; true")
    if not output.split():
        raise Failed(f"no process of {pod} {container} was found")
    note(f"{what}: {len(output.split())} processes of container {container} of pod {pod} were killed")
    return count


def pod_of(cluster, part):
    for pod in get("pods"):
        labels = pod["metadata"]["labels"]
        if (labels.get("permafrost.dev/cluster"), labels.get("permafrost.dev/part")) == (cluster, part) and (
                "deletionTimestamp" not in pod["metadata"]) and pod["status"]["phase"] == "Running":
            return pod["metadata"]["name"]
    raise Failed(f"no pod of {cluster} is {part}")


def strike(victim, cluster, part):
    """One of the five dies, without a last word."""
    if victim == "agent":
        kill(victim, primary(cluster) or f"{cluster}-0", "agent")
    elif victim == "host":
        kill(victim, pod_of(cluster, "repository-host"), "repository-host")
    elif victim == "primary":
        name = primary(cluster) or f"{cluster}-0"
        kubectl("-n", "demo", "delete", "pod", name, "--grace-period=0", "--force")
        note(f"primary: pod {name} was killed")
    elif victim == "operator":
        kill_operator()
    else:
        name = pod_of(cluster, part)
        kubectl("-n", "demo", "delete", "pod", name, "--grace-period=0", "--force")
        note(f"job: pod {name} was killed")


VICTIMS = ("agent", "host", "primary", "operator", "job")


def is_copying(cluster):
    """A backup is between its start and its stop."""
    return sql("select count(*) from pg_stat_activity where application_name like 'permafrost [[]backup]%' or "
               "application_name = 'permafrost [backup]'", cluster) != "0"


def in_backup(options):
    """Agent, repository host, primary, operator and Job are killed in the middle of a backup, each in turn."""
    killer(options)
    with cleared(options, "struck"):
        apply(manifest("struck", settings={"repo1-bundle": "y"}))
        eventually("the database", lambda: holds("Ready", "struck"), 180)
        eventually("the first backup", lambda: succeeded("struck"), 120)
        fill("struck", 20000)
        for number, victim in enumerate(VICTIMS):
            name = f"without-{victim}"
            sql(f"insert into r values ({number})", "struck")
            apply(backup(name, options=["--type=full", SLOWLY], cluster="struck"))
            eventually("it copies", lambda: state("perconapgbackup", name) == "Running" and is_copying("struck"), 60, 0.2)
            time.sleep(2)
            if state("perconapgbackup", name) != "Running" or not is_copying("struck"):
                raise Failed("the middle was missed")
            strike(victim, "struck", "backup")
            # A member that was killed has the lock of the stanza for five minutes yet, for which the next run waits.
            eventually("it has ended", lambda: state("perconapgbackup", name) in ("Succeeded", "Failed"), 600)
            status = get("perconapgbackup", name)["status"]
            note(f"{victim}: the backup is {status['state']}: {status.get('error', status.get('backupName'))}")
            if status["state"] != "Succeeded":
                raise Failed(f"{name} was not made after all")
            eventually("the cluster is well", lambda: holds("Ready", "struck") and holds(
                "ContinuousArchiving", "struck") and repository("repo1", "struck").get("ready"), 180)
            made_again(f"after-{victim}", "struck")
        wanted = content("struck")
        archived("struck")
        check_repository("struck")
        apply(restore("struck-restore", cluster="struck"))
        eventually("it is restored", lambda: state("perconapgrestore", "struck-restore") == "Succeeded", 240)
        if content("struck") != wanted:
            raise Failed(f"there is {content('struck')}, not {wanted}")
        shown("-n", "demo", "get", "pg-backup,jobs")


def made_again(name, cluster, type="incr"):
    apply(backup(name, options=[f"--type={type}"], cluster=cluster))
    return made(name)


def check_repository(cluster, repo=1):
    """All files of all backups and all WAL against their checksums."""
    output = kubectl("-n", "demo", "exec", primary(cluster), "-c", "agent", "--", "permafrost", "--stanza=db",
                     f"--repo={repo}", "--log-level-console=warn", "verify", "--output=text", timeout=300)
    note("verify: " + " / ".join(line.strip() for line in output.strip().splitlines())[:500])


def in_restore(options):
    """Agent, repository host, primary, operator and Job are killed in the middle of a restore, each in turn."""
    killer(options)
    with cleared(options, "struck"):
        apply(manifest("struck", settings={"repo1-bundle": "y"}))
        eventually("the database", lambda: holds("Ready", "struck"), 180)
        eventually("the first backup", lambda: succeeded("struck"), 120)
        fill("struck", 20000)
        made_again("struck-first", "struck", "full")
        for number, victim in enumerate(VICTIMS):
            name = f"restored-without-{victim}"
            sql(f"insert into r values ({number})", "struck")
            wanted = content("struck")
            archived("struck")
            apply(restore(name, options=[SLOWLY], cluster="struck"))
            eventually("it copies", lambda: (get("perconapgrestore", name).get("status") or {}).get(
                "stage") == "Restoring" and is_restoring("struck"), 90, 0.2)
            time.sleep(2)
            if not is_restoring("struck"):
                raise Failed("the middle was missed")
            strike(victim, "struck", "restore")
            eventually("it has ended", lambda: state("perconapgrestore", name) in ("Succeeded", "Failed"), 300)
            status = get("perconapgrestore", name)["status"]
            note(f"{victim}: attempt {status['permafrost']['attempt']}: {status['state']} {status.get('error', '')}")
            if status["state"] != "Succeeded":
                raise Failed(f"{name}: {status.get('error')}")
            if content("struck") != wanted:
                raise Failed(f"there is {content('struck')}, not {wanted}")
            eventually("the cluster is well", lambda: holds("Ready", "struck") and holds(
                "ContinuousArchiving", "struck") and repository("repo1", "struck").get("ready"), 180)
            made(status["newBackupName"])
        check_repository("struck")
        shown("-n", "demo", "get", "pg-restore,pg-backup,jobs")


def is_restoring(cluster):
    """Files are being written beside the data directory."""
    status, output, _ = kubectl("-n", "demo", "exec", f"{cluster}-0", "-c", "agent", "--", "sh", "-c",
                                "grep -ls 'permafrost.*restore' /proc/[0-9]*/cmdline; du -sm /var/lib/postgresql/*", check=False)
    return "/proc/" in output


def members(cluster):
    """That are ready."""
    return (get("perconapgcluster", cluster) or {}).get("status", {}).get("postgres", {}).get("ready")


def two(options):
    """The primary is killed in the middle of a backup while a replica takes over, with two operators at once."""
    with cleared(options, "pair"):
        kubectl("-n", "permafrost-system", "scale", "deployment", "permafrost-operator", "--replicas=2")
        try:
            apply(manifest("pair", [{"name": "repo1", "volume": volume(), "schedules": {"incremental": "* * * * *"}}],
                           replicas=2))
            eventually("two members", lambda: members("pair") == 2 and holds(
                "Ready", "pair"), 240)
            eventually("the first backup", lambda: succeeded("pair"), 120)
            fill("pair")
            kubectl("-n", "permafrost-system", "rollout", "status", "deployment/permafrost-operator", "--timeout=60s")
            apply(backup("during", options=["--type=full", SLOWLY], cluster="pair"))
            eventually("it copies", lambda: state("perconapgbackup", "during") == "Running" and is_copying("pair"), 90, 0.2)
            old = primary("pair")
            with no_new_pods():
                kubectl("-n", "demo", "delete", "pod", old, "--grace-period=0", "--force")
                note(f"{old} was killed")
                # The one of the two that works, whichever it is.
                leader = get("lease", "permafrost-operator", "permafrost-system")["spec"]["holderIdentity"].split("_")[0]
                kubectl("-n", "permafrost-system", "delete", "pod", leader, "--grace-period=0", "--force", check=False)
                note(f"the operator that worked, {leader}, was killed")
                eventually("another primary", lambda: primary("pair") not in (None, old), 120)
            eventually("the backup has ended", lambda: state("perconapgbackup", "during") in ("Succeeded", "Failed"), 600)
            status = get("perconapgbackup", "during")["status"]
            note(f"it is {status['state']}: {status.get('error', status.get('backupName'))}")
            eventually("both members again", lambda: members("pair") == 2 and
                       holds("Ready", "pair") and holds("ContinuousArchiving", "pair"), 240)
            for number in range(3):
                apply(backup(f"by-two-{number}", options=["--type=incr"], cluster="pair"))
            labels = {made(f"by-two-{number}")["backupName"] for number in range(3)}
            if len(labels) != 3:
                raise Failed(f"three objects are {labels}")
            jobs = [job["metadata"]["name"] for job in get("job") if job["metadata"]["name"].startswith("by-two-")]
            if len(jobs) != 3:
                raise Failed(f"for three backups there are the Jobs {jobs}")
            sql("insert into r values (1)", "pair")
            wanted = content("pair")
            archived("pair")
            kubectl("-n", "demo", "patch", "pg", "pair", "--type=json", "-p", json.dumps(
                [{"op": "remove", "path": "/spec/backups/pgbackrest/repos/0/schedules"}]))
            apply(restore("pair-restore", cluster="pair"))
            eventually("it is restored", lambda: state("perconapgrestore", "pair-restore") in ("Succeeded", "Failed"), 300)
            if state("perconapgrestore", "pair-restore") != "Succeeded" or content("pair") != wanted:
                raise Failed(f"{get('perconapgrestore', 'pair-restore')['status']}: {content('pair')}, not {wanted}")
            eventually("both members again", lambda: members("pair") == 2, 240)
            replica = "pair-1" if primary("pair") == "pair-0" else "pair-0"
            eventually("the replica has the same", lambda: kubectl(
                "-n", "demo", "exec", replica, "-c", "patroni", "--", "psql", "-X", "-U", "postgres", "-Atqc",
                "select string_agg(id::text, ',' order by id) from r").strip() == wanted.split()[0], 60)
            shown("-n", "demo", "get", "pg-backup,pods")
        finally:
            kubectl("-n", "permafrost-system", "scale", "deployment", "permafrost-operator", "--replicas=1")


# What is deleted ------------------------------------------------------------------------------------------------------

def s3_repository(name):
    secret(f"{name}-keys", **{"keys.conf": "[global]\nrepo1-s3-key=administrator\nrepo1-s3-key-secret=administrator\n"})
    repos = [{"name": "repo1", "s3": {"endpoint": f"s3.{REGION}.amazonaws.com", "region": REGION, "bucket": S3}},
             {"name": "repo2", "volume": volume()}]
    return manifest(name, repos, {"repo1-path": f"/{name}/repo1"}, secret=f"{name}-keys")


def belongings(name):
    """What there is of a cluster, by kind."""
    found = {}
    for kind in ("pods", "pvc", "secret", "configmap", "service", "statefulset", "deployment", "job", "endpoints"):
        items = get(kind)
        names = sorted(item["metadata"]["name"] for item in items if item["metadata"].get("labels", {}).get(
            "permafrost.dev/cluster") == name)
        if names:
            found[kind] = names
    return found


def finalizers(options):
    """Objects of backups deleted with data and without; clusters deleted with no finalizer and with each one."""
    in_client(f"export AWS_ENDPOINT_URL=https://s3.{REGION}.amazonaws.com AWS_DEFAULT_REGION={REGION}; "
              f"aws s3 mb s3://{S3} || true")
    wanted = {"end-none": None, "end-backups": "percona.com/delete-backups", "end-pvc": "percona.com/delete-pvc",
              "end-ssl": "percona.com/delete-ssl"}
    with cleared(options, *wanted):
        for name, finalizer in wanted.items():
            item = s3_repository(name)
            if finalizer:
                item["metadata"]["finalizers"] = [finalizer]
            apply(item)
        for name in wanted:
            eventually(f"{name} is ready", lambda: holds("Ready", name) and holds("ReadyForBackup", name), 240)
            apply(backup(f"{name}-2", "repo2", cluster=name))
        for name in wanted:
            made(f"{name}-2")
        for number in range(2):
            apply(backup(f"end-{number}", cluster="end-none"))
        kept, gone = made("end-0")["backupName"], made("end-1")["backupName"]
        kubectl("-n", "demo", "annotate", "pg-backup", "end-1", "permafrost.dev/delete-data=true")
        kubectl("-n", "demo", "delete", "pg-backup", "end-0", "end-1", timeout=90)

        def has(name, label=""):
            return [key for key in stored(f"{name}/repo1/backup/db/{label}", S3) if key.endswith("/backup.manifest")]

        if not has("end-none", kept) or has("end-none", gone):
            raise Failed(f"of the data of {kept} and {gone} there is {has('end-none')}")
        note(f"end-0 is gone and its data {kept} is not; end-1 is gone with its data {gone}")
        for name in wanted:
            kubectl("-n", "demo", "delete", "pg", name, "--wait=false")
        for name in wanted:
            eventually(f"{name} is gone", lambda: get("perconapgcluster", name) is None, 120)
        eventually("all pods are gone", lambda: not [
            pod for pod in get("pods") if pod["metadata"]["labels"].get("permafrost.dev/cluster") in wanted
            and pod["metadata"]["labels"].get("permafrost.dev/part") in ("database", "repository-host")], 180)
        time.sleep(3)
        left = {name: belongings(name) for name in wanted}
        for name in wanted:
            note(f"{name}: left are {json.dumps(left[name])}; backups {[item['metadata']['name'] for item in backups(name)]}; "
                 f"in the bucket {len(has(name))}")
        for name in ("end-none", "end-ssl", "end-backups"):
            if set(left[name].get("pvc", [])) != {f"pgdata-{name}-0", f"{name}-repo2"}:
                raise Failed(f"of the claims of {name} there are {left[name].get('pvc')}")
        if "pvc" in left["end-pvc"] or "secret" in left["end-pvc"]:
            raise Failed(f"of end-pvc there is {left['end-pvc']}")
        if not has("end-none") or not has("end-pvc") or not has("end-ssl") or has("end-backups") or backups("end-backups"):
            raise Failed("backups went that were to stay, or stay that were to go")
        for name in wanted:
            certificates = [item for item in left[name].get("secret", []) if "ca" in item.split("-") or item == f"{name}-permafrost"]
            if certificates:
                raise Failed(f"certificates of {name} are left: {certificates}")
        # Who comes by the same name finds its data.
        apply(s3_repository("end-none"))
        eventually("the cluster again, with its backups", lambda: repository("repo2", "end-none").get("backups", 0) > 0, 180)


def namespace(options):
    """A namespace is deleted in the middle of a backup: it goes in bounded time, and the data in the bucket stays."""
    name = "leaving"
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    try:
        in_client(f"export AWS_ENDPOINT_URL=https://s3.{REGION}.amazonaws.com AWS_DEFAULT_REGION={REGION}; "
                  f"aws s3 mb s3://{S3} || true")
        item = s3_repository("leaver")
        keys = get("secret", "leaver-keys")
        kubectl("-n", "demo", "delete", "secret", "leaver-keys")
        apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "leaver-keys"}, "data": keys["data"]}, name)
        item["metadata"].update({"namespace": name, "finalizers": [
            "percona.com/delete-backups", "percona.com/delete-pvc", "percona.com/delete-ssl"]})
        apply(item)
        eventually("the first backup", lambda: [
            item for item in get("perconapgbackup", namespace=name) if item.get("status", {}).get("state") == "Succeeded"], 240)
        run = backup("in-the-middle", options=["--type=full", SLOWLY], cluster="leaver")
        run["metadata"]["namespace"] = name
        apply(run)
        eventually("it copies", lambda: get("perconapgbackup", "in-the-middle", name)["status"]["state"] == "Running" and sql(
            "select count(*) from pg_stat_activity where application_name like 'permafrost%backup%'", "leaver", name) != "0",
            60, 0.2)
        kubectl("delete", "namespace", name, "--wait=false")
        eventually("the namespace is gone", lambda: get("namespace", name, "default") is None, 180)
        left = [key for key in stored("leaver/repo1/backup/db/", S3) if key.endswith("/backup.manifest")]
        if not left:
            raise Failed("the data in the bucket went with the namespace")
        note(f"in the bucket are still {left}")
        eventually("the operator is well", lambda: get("deployment", "permafrost-operator", "permafrost-system")["status"].get(
            "readyReplicas") == 1, 60)
    finally:
        if not options.keep:
            kubectl("delete", "namespace", name, "--ignore-not-found", "--wait=false")


# Certificates ---------------------------------------------------------------------------------------------------------

def served(cluster, host, port, files):
    """The certificate that a server has in use, which it shows only to who has one too."""
    script = (f"openssl s_client -connect {host}:{port} -cert /etc/pgbackrest/tls/tls.crt -key /etc/pgbackrest/tls/tls.key "
              "< /dev/null 2>/dev/null | openssl x509 -noout -fingerprint -enddate")
    return kubectl("-n", "demo", "exec", f"{cluster}-0", "-c", "agent", "--", "sh", "-c", script, check=False)[1].strip()


def lives(cluster):
    """All that would change if something were started again."""
    pods = {}
    for pod in get("pods"):
        labels = pod["metadata"]["labels"]
        if labels.get("permafrost.dev/cluster") == cluster and labels.get("permafrost.dev/part") in (
                "database", "repository-host"):
            pods[pod["metadata"]["name"]] = [pod["metadata"]["uid"]] + [
                (status["name"], status["restartCount"]) for status in pod["status"]["containerStatuses"]]
    return started(cluster), pods


def certificates(options):
    """Certificates end, are deleted, and get another authority: agent and repository host go on, nothing is restarted."""
    with cleared(options, "sealed"):
        apply(manifest("sealed"))
        eventually("the database", lambda: holds("Ready", "sealed"), 180)
        eventually("the first backup", lambda: succeeded("sealed"), 120)
        fill("sealed", 100)
        before, names = lives("sealed"), ("sealed-permafrost", "sealed-permafrost-ca")

        def use(name):
            address = get("service", "sealed-repo-host")["metadata"]["name"] + ".demo.svc"
            return {"agent": served("sealed", "sealed-0.sealed-pods.demo.svc", 8433, name),
                    "host": served("sealed", address, 8432, name)}

        def change(what, do):
            old, text = use("old"), get("secret", names[0])["data"]["tls.crt"]
            if not all(old.values()):
                raise Failed(f"no certificate was seen: {old}")
            do()
            eventually(f"{what}: another certificate", lambda: (get("secret", names[0]) or {"data": {"tls.crt": text}})[
                "data"]["tls.crt"] != text, 90)
            eventually("both have it in use", lambda: all(
                value and value != old[key] for key, value in use("new").items()) and len(set(use("new").values())) == 1, 150)
            note(f"{what}: {use('new')['host']}")
            sql("insert into r values (1)", "sealed")
            archived("sealed")
            name = f"sealed-{what.split()[0].lower()}"
            made_again(name, "sealed")
            eventually("the cluster is well", lambda: holds("Ready", "sealed") and holds("ContinuousArchiving", "sealed") and
                       repository("repo1", "sealed").get("ready"), 60)
            if lives("sealed") != before:
                raise Failed(f"something was started again: {before}, {lives('sealed')}")

        def ending():
            """As after 89 of 90 days: the same names, and an end that is near."""
            keys = get("secret", names[1])["data"]
            present = base64.b64decode(get("secret", names[0])["data"]["tls.crt"])
            with tempfile.TemporaryDirectory() as folder:
                for file, content in (("ca.crt", base64.b64decode(keys["tls.crt"])), (
                        "ca.key", base64.b64decode(keys["tls.key"])), ("old.crt", present)):
                    with open(os.path.join(folder, file), "wb") as out:
                        out.write(content)
                names_of = openssl(folder, "x509", "-in", "old.crt", "-noout", "-ext", "subjectAltName").splitlines()[-1].strip()
                with open(os.path.join(folder, "extensions"), "w") as out:
                    out.write(f"subjectAltName={names_of}\n")
                openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tls.key",
                        "-out", "tls.csr", "-subj", "/CN=sealed")
                openssl(folder, "x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                        "-days", "1", "-out", "tls.crt", "-extfile", "extensions")
                data = {}
                for file in ("tls.crt", "tls.key"):
                    with open(os.path.join(folder, file), "rb") as source:
                        data[file] = base64.b64encode(source.read()).decode()
            kubectl("-n", "demo", "patch", "secret", names[0], "--type=merge", "-p", json.dumps({
                "data": data, "metadata": {"annotations": {"permafrost.dev/renew-after": "1"}}}))

        change("end of its days", ending)
        change("Secret deleted", lambda: kubectl("-n", "demo", "delete", "secret", names[0]))
        change("authority deleted", lambda: kubectl("-n", "demo", "delete", "secret", *names))
        wanted = content("sealed")
        archived("sealed")
        apply(restore("sealed-restore", cluster="sealed"))
        eventually("it is restored", lambda: state("perconapgrestore", "sealed-restore") in ("Succeeded", "Failed"), 240)
        if state("perconapgrestore", "sealed-restore") != "Succeeded" or content("sealed") != wanted:
            raise Failed(f"{get('perconapgrestore', 'sealed-restore')['status']}")


SCENARIOS = [in_backup, in_restore, two, finalizers, namespace, certificates]
