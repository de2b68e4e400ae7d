"""What all scenarios stand on: kubectl, a store under a private authority, names that lead to it, the operator, and the
record of what was done and seen."""

import base64
import contextlib
import datetime
import json
import os
import re
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUCKET = "acceptance-backups"
REGION = "eu-central-1"
# It says when it ends a connection: pgBackRest takes one for broken where TLS does not say so.
MOTO = """
import contextlib, sys
import moto.server
import werkzeug.serving as serving

def shutdown_request(self, request, shutdown=serving.BaseWSGIServer.shutdown_request):
    with contextlib.suppress(OSError):
        request.settimeout(2)
        request.unwrap()
    shutdown(self, request)

serving.BaseWSGIServer.shutdown_request = shutdown_request
moto.server.main(sys.argv[1:])
"""
log = []
timings = []
begun = time.monotonic()


class Failed(Exception):
    pass


def note(text):
    line = f"{time.monotonic() - begun:7.1f}  {text}"
    print(line, flush=True)
    log.append(line)


def kubectl(*arguments, stdin=None, check=True, timeout=120):
    if isinstance(stdin, (dict, list)):
        stdin = json.dumps(stdin)
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=timeout)
    if check and done.returncode != 0:
        raise Failed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout if check else (done.returncode, done.stdout, done.stderr)


def shown(*arguments):
    """A command whose output is evidence."""
    output = kubectl(*arguments, check=False)
    text = (output[1] + output[2]).rstrip()
    note(f"$ kubectl {' '.join(arguments)}")
    for line in text.splitlines():
        print("         " + line, flush=True)
        log.append("         " + line)
    return output[1]


def get(kind, name=None, namespace="demo"):
    words = ["-n", namespace, "get", kind] + ([name] if name else []) + ["-o", "json"]
    status, output, error = kubectl(*words, check=False)
    if status != 0:
        if "NotFound" in error:
            return None
        raise Failed(error.strip())
    found = json.loads(output)
    return found if name else found["items"]


def apply(manifest, namespace=None):
    words = (["-n", namespace] if namespace else []) + ["apply", "--server-side", "--force-conflicts", "-f", "-"]
    return kubectl(*words, stdin=manifest)


@contextlib.contextmanager
def no_new_pods():
    """As when a node is lost: a pod that was killed does not come up again under its name, and another takes over."""
    nodes = [node["metadata"]["name"] for node in get("node")]
    kubectl("cordon", *nodes)
    try:
        yield
    finally:
        kubectl("uncordon", *nodes)


def eventually(what, condition, limit=120, pause=0.5):
    start = time.monotonic()
    while True:
        try:
            answer = condition()
        except Failed as failure:
            answer, said = None, failure
        else:
            said = None
        if answer:
            took = time.monotonic() - start
            timings.append((what, took))
            note(f"seen after {took:.1f} s: {what}")
            return answer
        if time.monotonic() - start > limit:
            raise Failed(f"not seen in {limit} s: {what}" + (f" ({said})" if said else ""))
        time.sleep(pause)


def primary(cluster="pg", namespace="demo"):
    pods = kubectl("-n", namespace, "get", "pods", "-l", f"permafrost.dev/cluster={cluster}", "-o", "json")
    for pod in json.loads(pods)["items"]:
        labels = pod["metadata"]["labels"]
        if labels.get("role") in ("primary", "master") and "deletionTimestamp" not in pod["metadata"]:
            return pod["metadata"]["name"]
    return None


def sql(text, cluster="pg", namespace="demo"):
    pod = primary(cluster, namespace)
    if not pod:
        raise Failed(f"cluster {cluster} has no primary")
    return kubectl(
        "-n", namespace, "exec", pod, "-c", "patroni", "--", "psql", "-X", "-U", "postgres", "-Atqc", text).strip()


def stored(path, bucket=BUCKET):
    """Keys in a bucket under a path."""
    code = (
        "import boto3,sys;s=boto3.client('s3',region_name='%s',endpoint_url='https://s3.%s.amazonaws.com');"
        "p=s.get_paginator('list_objects_v2').paginate(Bucket='%s',Prefix=sys.argv[1]);"
        "print('\\n'.join(o['Key'] for q in p for o in q.get('Contents',[])))" % (REGION, REGION, bucket))
    return kubectl("-n", "store", "exec", "client", "--", "python3", "-c", code, path).split()


# The stage ------------------------------------------------------------------------------------------------------------


def openssl(folder, *words):
    done = subprocess.run(["openssl", *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr)
    return done.stdout


def authority(names, name="Acceptance CA"):
    """A private authority, and a certificate of it for servers of these names."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    with tempfile.TemporaryDirectory() as folder:
        openssl(folder, "req", "-x509", *curve, "-days", "30", "-keyout", "ca.key", "-out", "ca.crt", "-subj",
                f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE")
        openssl(folder, "req", *curve, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=store")
        with open(os.path.join(folder, "extensions"), "w") as file:
            file.write("subjectAltName=" + ",".join("DNS:" + name for name in names) + "\n")
        openssl(folder, "x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                "30", "-out", "tls.crt", "-extfile", "extensions")

        def read(name):
            with open(os.path.join(folder, name)) as file:
                return file.read()

        return {name: read(name) for name in ("ca.crt", "tls.crt", "tls.key")}


def certificates(secret, namespace, names, title="Acceptance CA"):
    """As a Secret has them, which is made when there is none."""
    present = get("secret", secret, namespace)
    if present:
        return {name: base64.b64decode(text).decode() for name, text in present["data"].items()}
    files = authority(names, title)
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret}, "data": encoded}, namespace)
    return files


def pod_template(labels, container, volumes):
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "metadata": {"labels": labels},
        "spec": {
            "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 999, "fsGroup": 999,
                                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [dict(container, securityContext=security)], "volumes": volumes,
        },
    }


def set_stage(options):
    image = f"{options.prefix}permafrost-test-store:{options.tag}"
    for name, level in (("store", "restricted"), ("demo", "restricted"), ("copies", "restricted")):
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "labels": {"pod-security.kubernetes.io/enforce": level}}})
    files = certificates("tls", "store", [
        "amazonaws.com", "*.amazonaws.com", "*.s3.amazonaws.com", f"*.{REGION}.amazonaws.com",
        f"*.s3.{REGION}.amazonaws.com", "*.us-east-1.amazonaws.com", "*.s3.us-east-1.amazonaws.com"])
    volume = [{"name": "tls", "secret": {"secretName": "tls"}}, {"name": "tmp", "emptyDir": {}}]
    mounts = [{"name": "tls", "mountPath": "/tls"}, {"name": "tmp", "mountPath": "/tmp"}]
    store = pod_template({"app": "store"}, {
        "name": "moto", "image": image,
        "command": ["python3", "-c", MOTO, "-H", "0.0.0.0", "-p", "8443", "-s", "-c", "/tls/tls.crt", "-k", "/tls/tls.key"],
        "volumeMounts": mounts, "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1}}, volume)
    apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "store"}, "spec": {
        "replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": {"app": "store"}},
        "template": store}}, "store")
    apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "store"}, "spec": {
        "selector": {"app": "store"}, "ports": [{"port": 443, "targetPort": 8443}]}}, "store")
    address = get("service", "store", "store")["spec"]["clusterIP"]
    lead_names(address, image)
    client = pod_template({"app": "client"}, {
        "name": "client", "image": image, "command": ["sleep", "infinity"], "workingDir": "/tmp",
        "env": [{"name": "AWS_CA_BUNDLE", "value": "/tls/ca.crt"}, {"name": "HOME", "value": "/tmp"},
                {"name": "AWS_ACCESS_KEY_ID", "value": "administrator"},
                {"name": "AWS_SECRET_ACCESS_KEY", "value": "administrator"}],
        "volumeMounts": mounts}, volume)
    client.update({"apiVersion": "v1", "kind": "Pod"})
    client["metadata"]["name"] = "client"
    apply(client, "store")
    for name in ("app=store", "app=client"):
        kubectl("-n", "store", "wait", "pod", "-l", name, "--for=condition=Ready", "--timeout=90s")
    return files["ca.crt"]


def lead_names(address, image):
    """*.amazonaws.com is the store; all else is asked of the cluster's own name server."""
    slices = json.loads(kubectl("-n", "kube-system", "get", "endpointslice", "-l",
                                "kubernetes.io/service-name=kube-dns", "-o", "json"))["items"]
    if not slices:
        raise Failed("the cluster has no Service kube-dns whose endpoints could be led through our name server")
    item = slices[0]
    own = item["metadata"].get("annotations", {}).get("permafrost.dev/e2e")
    upstream = own or item["endpoints"][0]["addresses"][0]
    port = next(entry["port"] for entry in item["ports"] if entry["protocol"] == "UDP")
    dns = pod_template({"app": "dns"}, {
        "name": "dns", "image": image,
        "command": ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--port={port}", "--user=postgres",
                    f"--address=/amazonaws.com/{address}", f"--server={upstream}#{port}", "--pid-file=/tmp/pid",
                    "--log-facility=-"],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}, [{"name": "tmp", "emptyDir": {}}])
    dns.update({"apiVersion": "v1", "kind": "Pod"})
    dns["metadata"]["name"] = "dns"
    apply(dns, "store")
    kubectl("-n", "store", "wait", "pod/dns", "--for=condition=Ready", "--timeout=60s")
    pod = get("pod", "dns", "store")["status"]["podIP"]
    kubectl("-n", "kube-system", "annotate", "endpointslice", item["metadata"]["name"],
            f"permafrost.dev/e2e={upstream}", "--overwrite")
    kubectl("-n", "kube-system", "patch", "endpointslice", item["metadata"]["name"], "--type=json", "-p",
            json.dumps([{"op": "replace", "path": "/endpoints/0/addresses", "value": [pod]}]))


def give_names_back():
    status, text, _ = kubectl("-n", "kube-system", "get", "endpointslice", "-l", "kubernetes.io/service-name=kube-dns",
                              "-o", "json", check=False)
    for item in json.loads(text)["items"] if status == 0 else []:
        upstream = item["metadata"].get("annotations", {}).get("permafrost.dev/e2e")
        if upstream:
            kubectl("-n", "kube-system", "patch", "endpointslice", item["metadata"]["name"], "--type=json", "-p",
                    json.dumps([{"op": "replace", "path": "/endpoints/0/addresses", "value": [upstream]},
                                {"op": "remove", "path": "/metadata/annotations/permafrost.dev~1e2e"}]))


def install(options, certificates):
    with open(os.path.join(ROOT, "deploy", "bundle.yaml")) as file:
        bundle = file.read()
    tag = re.search(r"--image-tag=(\S+)", bundle).group(1)
    bundle = bundle.replace(f"--image-tag={tag}", f"--image-tag={options.tag}")
    bundle = bundle.replace(f"permafrost.local/permafrost:{tag}", f"{options.prefix}permafrost:{options.tag}")
    bundle = bundle.replace("--image-prefix=permafrost.local/", f"--image-prefix={options.prefix}")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=bundle)
    kubectl("-n", "permafrost-system", "create", "configmap", "trusted-ca", f"--from-literal=ca.crt={certificates}",
            check=False)
    kubectl("-n", "permafrost-system", "patch", "configmap", "trusted-ca", "--type=merge", "-p",
            json.dumps({"data": {"ca.crt": certificates}}))
    kubectl("-n", "permafrost-system", "patch", "deployment", "permafrost-operator", "--type=strategic", "-p", json.dumps({
        "spec": {"template": {"metadata": {"annotations": {"begun": str(time.time())}}, "spec": {
            "volumes": [{"name": "trusted-ca", "configMap": {"name": "trusted-ca"}}],
            "containers": [{"name": "operator", "volumeMounts": [
                {"name": "trusted-ca", "mountPath": "/etc/trusted-ca"}],
                "env": [{"name": "PERMAFROST_TRUSTED_CA_FILE", "value": "/etc/trusted-ca/ca.crt"}]}]}}}}))
    kubectl("-n", "permafrost-system", "rollout", "status", "deployment/permafrost-operator", "--timeout=90s")


def in_client(script):
    return kubectl("-n", "store", "exec", "client", "--", "bash", "-ec", script)


def versions(options):
    text = kubectl("version", "-o", "json")
    server = json.loads(text)["serverVersion"]["gitVersion"]
    nodes = get("nodes", namespace="default")
    runtime = nodes[0]["status"]["nodeInfo"]["containerRuntimeVersion"] if nodes else "no node"
    return f"Kubernetes {server}, {runtime}, images of tag {options.tag}, {datetime.date.today().isoformat()}"


def write(heading, results, name):
    folder = os.path.join(ROOT, "docs", "evidence")
    os.makedirs(folder, exist_ok=True)
    lines = ["# What was seen on a real Kubernetes", "", f"{heading}. Written by `make e2e`.", "",
             "| scenario | | seconds |", "| --- | --- | --- |"]
    for scenario, failure, took in results:
        lines.append(f"| {scenario.__doc__} | {'failed: ' + str(failure) if failure else 'held'} | {took:.0f} |")
    lines += ["", "The whole of it, with the time since the start in seconds:", "", "```"] + log + ["```", ""]
    with open(os.path.join(folder, f"{name}.md"), "w") as file:
        file.write("\n".join(lines))
