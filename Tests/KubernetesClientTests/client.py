"""What Kubernetes' official Python client makes of an API server: python3 client.py KUBECONFIG. Fails with a traceback."""
import sys
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

config.load_kube_config(sys.argv[1])
core, apps, batch = client.CoreV1Api(), client.AppsV1Api(), client.BatchV1Api()
custom, extensions = client.CustomObjectsApi(), client.ApiextensionsV1Api()


def refused(status, reason, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except ApiException as error:
        assert error.status == status, error
        assert '"reason":"%s"' % reason in error.body.replace(" ", ""), error.body
        return
    raise AssertionError("not refused: %s" % call)


# Objects of the core.
core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="py")))
meta = client.V1ObjectMeta(name="a", labels={"app": "x"})
made = core.create_namespaced_config_map("py", client.V1ConfigMap(metadata=meta, data={"k": "1"}))
assert made.metadata.uid and made.metadata.creation_timestamp and made.data == {"k": "1"}
refused(409, "AlreadyExists", core.create_namespaced_config_map, "py", client.V1ConfigMap(metadata=meta))
refused(404, "NotFound", core.read_namespaced_config_map, "none", "py")
generated = core.create_namespaced_config_map(
    "py", client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="b-")))
assert generated.metadata.name.startswith("b-") and len(generated.metadata.name) == 7
listed = core.list_namespaced_config_map("py", label_selector="app in (x, y)")
assert [item.metadata.name for item in listed.items] == ["a"] and listed.metadata.resource_version
assert len(core.list_config_map_for_all_namespaces(field_selector="metadata.name=a").items) == 1
page = core.list_namespaced_config_map("py", limit=1)
assert len(page.items) == 1 and page.metadata._continue and page.metadata.remaining_item_count == 1
rest = core.list_namespaced_config_map("py", limit=1, _continue=page.metadata._continue)
assert len(rest.items) == 1 and not rest.metadata._continue

# Changes: a dictionary is a strategic merge patch, a list a JSON patch.
assert core.patch_namespaced_config_map("a", "py", {"data": {"l": "2"}}).data == {"k": "1", "l": "2"}
operations = [{"op": "replace", "path": "/data/k", "value": "3"}, {"op": "remove", "path": "/data/l"}]
assert core.patch_namespaced_config_map("a", "py", operations).data == {"k": "3"}
refused(409, "Conflict", core.replace_namespaced_config_map, "a", "py", made)
fresh = core.read_namespaced_config_map("a", "py")
fresh.data["k"] = "4"
assert core.replace_namespaced_config_map("a", "py", fresh).data == {"k": "4"}
assert core.patch_namespaced_config_map("a", "py", {"data": {"k": "5"}}, dry_run="All").data == {"k": "5"}
assert core.read_namespaced_config_map("a", "py").data == {"k": "4"}
secret = core.create_namespaced_secret(
    "py", client.V1Secret(metadata=client.V1ObjectMeta(name="s"), string_data={"key": "v"}))
assert secret.data == {"key": "dg=="} and secret.type == "Opaque" and secret.string_data is None

# Elements of lists are merged by name.
container = client.V1Container(name="c", image="i:1", env=[client.V1EnvVar(name="A", value="1")])
template = client.V1PodTemplateSpec(
    metadata=client.V1ObjectMeta(labels={"app": "x"}), spec=client.V1PodSpec(containers=[container]))
selector = client.V1LabelSelector(match_labels={"app": "x"})
apps.create_namespaced_stateful_set("py", client.V1StatefulSet(
    metadata=client.V1ObjectMeta(name="set"),
    spec=client.V1StatefulSetSpec(replicas=1, service_name="set", selector=selector, template=template)))
change = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "B", "value": "2"}]}]}}}}
changed = apps.patch_namespaced_stateful_set("set", "py", change)
only = changed.spec.template.spec.containers
assert len(only) == 1 and only[0].image == "i:1" and sorted(e.name for e in only[0].env) == ["A", "B"]
assert changed.metadata.generation == 2
told = apps.patch_namespaced_stateful_set_status("set", "py", {"status": {"replicas": 1, "readyReplicas": 1}})
assert told.status.ready_replicas == 1 and told.metadata.generation == 2

# Own kinds.
names = client.V1CustomResourceDefinitionNames(plural="things", singular="thing", kind="Thing", short_names=["th"])
schema = client.V1CustomResourceValidation(
    open_apiv3_schema=client.V1JSONSchemaProps(type="object", x_kubernetes_preserve_unknown_fields=True))
extensions.create_custom_resource_definition(client.V1CustomResourceDefinition(
    metadata=client.V1ObjectMeta(name="things.example.com"),
    spec=client.V1CustomResourceDefinitionSpec(
        group="example.com", scope="Namespaced", names=names,
        versions=[client.V1CustomResourceDefinitionVersion(
            name="v1", served=True, storage=True, schema=schema,
            subresources=client.V1CustomResourceSubresources(status={}))])))
place = ("example.com", "v1", "py", "things")
thing = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": {"size": 1}}
custom.create_namespaced_custom_object(*place, thing)
custom.patch_namespaced_custom_object_status(*place, "t", {"status": {"phase": "New"}})
found = custom.patch_namespaced_custom_object(*place, "t", {"spec": {"size": 2}})
assert found["spec"]["size"] == 2 and found["status"] == {"phase": "New"} and found["metadata"]["generation"] == 2

# Watches: from a version on, with bookmarks, until what went before is forgotten.
start = custom.list_namespaced_custom_object(*place)["metadata"]["resourceVersion"]
threading.Timer(0.3, lambda: custom.patch_namespaced_custom_object(*place, "t", {"spec": {"size": 3}})).start()
threading.Timer(0.6, lambda: custom.delete_namespaced_custom_object(*place, "t")).start()
seen = []
for event in watch.Watch().stream(
        custom.list_namespaced_custom_object, *place, resource_version=start, timeout_seconds=20,
        allow_watch_bookmarks=True):
    if event["type"] == "BOOKMARK":
        continue
    seen.append((event["type"], event["object"]["spec"]["size"]))
    if event["type"] == "DELETED":
        break
assert seen == [("MODIFIED", 3), ("DELETED", 3)], seen
first = next(iter(watch.Watch().stream(core.list_namespaced_config_map, "py", label_selector="app=x")))
assert first["type"] == "ADDED" and first["object"].metadata.name == "a"

# Server-side apply, by the dynamic client, which asks the server what it has.
api = dynamic.DynamicClient(client.ApiClient())
maps = api.resources.get(api_version="v1", kind="ConfigMap")
wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa"}, "data": {"x": "1"}}
maps.server_side_apply(body=wanted, name="ssa", namespace="py", field_manager="one")
wanted["data"] = {"x": "2"}
refused(409, "Conflict", maps.server_side_apply, body=wanted, name="ssa", namespace="py", field_manager="two")
applied = maps.server_side_apply(
    body=wanted, name="ssa", namespace="py", field_manager="two", force_conflicts=True)
assert applied.data.x == "2"
assert {entry.manager for entry in applied.metadata.managedFields} == {"two"}, applied.metadata.managedFields

# Deletion: what is owned goes with its owner, finalizers hold, preconditions count.
owner = core.read_namespaced_config_map("a", "py")
reference = client.V1OwnerReference(
    api_version="v1", kind="ConfigMap", name="a", uid=owner.metadata.uid, controller=True)
core.create_namespaced_config_map(
    "py", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="owned", owner_references=[reference])))
wrong = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))
refused(409, "Conflict", core.delete_namespaced_config_map, "a", "py", body=wrong)
core.patch_namespaced_config_map("a", "py", {"metadata": {"finalizers": ["example.com/wait"]}})
core.delete_namespaced_config_map("a", "py", propagation_policy="Background")
assert core.read_namespaced_config_map("a", "py").metadata.deletion_timestamp
core.patch_namespaced_config_map("a", "py", {"metadata": {"finalizers": None}})
refused(404, "NotFound", core.read_namespaced_config_map, "a", "py")
refused(404, "NotFound", core.read_namespaced_config_map, "owned", "py")
lease = client.CoordinationV1Api().create_namespaced_lease("py", client.V1Lease(
    metadata=client.V1ObjectMeta(name="l"), spec=client.V1LeaseSpec(holder_identity="me", lease_duration_seconds=15)))
assert lease.spec.holder_identity == "me"
core.delete_collection_namespaced_config_map("py")
assert core.list_namespaced_config_map("py").items == []

# A pod that a node has ends in its own time, and a namespace after what is in it.
pod = client.V1Pod(
    metadata=client.V1ObjectMeta(name="p"),
    spec=client.V1PodSpec(node_name="node", termination_grace_period_seconds=5, containers=[container]))
core.create_namespaced_pod("py", pod)
ending = core.delete_namespaced_pod("p", "py")
assert ending.metadata.deletion_grace_period_seconds == 5 and ending.metadata.deletion_timestamp
core.delete_namespace("py")
assert core.read_namespace("py").status.phase == "Terminating"
refused(403, "Forbidden", core.create_namespaced_config_map, "py", client.V1ConfigMap(metadata=meta))
core.delete_namespaced_pod("p", "py", grace_period_seconds=0)
refused(404, "NotFound", core.read_namespace, "py")
assert client.VersionApi().get_code().major == "1"
print("accepted")
