"""The built-in kinds: what the operator, kopf and kubectl ask for, and what templates watch."""

from __future__ import annotations

from controller.sandbox.definitions import DefinitionRules
from controller.sandbox.kinds import AGE, Column, Kind
from controller.sandbox.rules import ConfigMapRules, EventRules, LeaseRules, NamespaceRules, SecretRules

CONFIG_MAP = Kind(
    group="",
    version="v1",
    kind="ConfigMap",
    plural="configmaps",
    short_names=("cm",),
    rules=ConfigMapRules(),
)
DEFINITION = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    has_status=True,
    has_generation=True,
    blind_update=False,
    columns=(Column("Created At", ".metadata.creationTimestamp"),),
    rules=DefinitionRules(),
)
DEPLOYMENT = Kind(
    group="apps",
    version="v1",
    kind="Deployment",
    plural="deployments",
    short_names=("deploy",),
    categories=("all",),
    has_status=True,
    has_generation=True,
)
ENDPOINTS = Kind(group="", version="v1", kind="Endpoints", plural="endpoints", short_names=("ep",))
ENDPOINT_SLICE = Kind(
    group="discovery.k8s.io",
    version="v1",
    kind="EndpointSlice",
    plural="endpointslices",
    has_generation=True,
)
EVENT = Kind(
    group="",
    version="v1",
    kind="Event",
    plural="events",
    short_names=("ev",),
    put_creates=True,
    fields=frozenset(
        {
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        }
    ),
    columns=(
        Column("Last Seen", ".lastTimestamp", "date"),
        Column("Type", ".type"),
        Column("Reason", ".reason"),
        Column("Object", ".involvedObject.name"),
        Column("Message", ".message"),
    ),
    rules=EventRules(),
)
INGRESS = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="Ingress",
    plural="ingresses",
    short_names=("ing",),
    has_status=True,
    has_generation=True,
    columns=(Column("Class", ".spec.ingressClassName"), Column("Hosts", ".spec.rules[*].host"), AGE),
)
INGRESS_CLASS = Kind(
    group="networking.k8s.io",
    version="v1",
    kind="IngressClass",
    plural="ingressclasses",
    namespaced=False,
    has_generation=True,
    columns=(Column("Controller", ".spec.controller"), AGE),
)
LEASE = Kind(
    group="coordination.k8s.io",
    version="v1",
    kind="Lease",
    plural="leases",
    blind_update=False,
    put_creates=True,
    columns=(Column("Holder", ".spec.holderIdentity"), AGE),
    rules=LeaseRules(),
)
NAMESPACE = Kind(
    group="",
    version="v1",
    kind="Namespace",
    plural="namespaces",
    namespaced=False,
    short_names=("ns",),
    has_status=True,
    fields=frozenset({"status.phase"}),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    columns=(Column("Status", ".status.phase"), AGE),
    rules=NamespaceRules(),
)
NODE = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    namespaced=False,
    short_names=("no",),
    has_status=True,
)
POD = Kind(
    group="",
    version="v1",
    kind="Pod",
    plural="pods",
    short_names=("po",),
    categories=("all",),
    has_status=True,
    has_generation=True,
    fields=frozenset({"spec.nodeName", "status.phase", "status.podIP"}),
    columns=(Column("Status", ".status.phase"), AGE),
)
SECRET = Kind(
    group="",
    version="v1",
    kind="Secret",
    plural="secrets",
    fields=frozenset({"type"}),
    columns=(Column("Type", ".type"), AGE),
    rules=SecretRules(),
)
SERVICE = Kind(
    group="",
    version="v1",
    kind="Service",
    plural="services",
    short_names=("svc",),
    categories=("all",),
    has_status=True,
    put_creates=True,
    columns=(Column("Type", ".spec.type"), Column("Cluster-IP", ".spec.clusterIP"), AGE),
)
SERVICE_ACCOUNT = Kind(
    group="", version="v1", kind="ServiceAccount", plural="serviceaccounts", short_names=("sa",)
)

BUILTIN_KINDS = (
    NAMESPACE,
    CONFIG_MAP,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    POD,
    NODE,
    EVENT,
    ENDPOINTS,
    ENDPOINT_SLICE,
    INGRESS,
    INGRESS_CLASS,
    DEPLOYMENT,
    LEASE,
    DEFINITION,
)
