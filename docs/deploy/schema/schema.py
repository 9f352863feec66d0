"""Writes schema.json: the shapes of the Kubernetes and KServe objects that docs/deploy uses, as a JSON schema.

The shapes are those of the official clients' models (pip install kserve==0.21.0 kubernetes), which are generated from
the projects' own OpenAPI documents. A field that a model doesn't have is refused, a required one must be there, and a
quantity is a string. The Kubeflow MPI operator has no such models for v2beta1; its shapes are written out below, after
pkg/apis/kubeflow/v2beta1/types.go of the operator.
"""
import importlib.metadata
import inspect
import json
import re
import sys
from pathlib import Path

import kserve.models
import kubernetes.client.models

ROOTS = {
    "v1 PersistentVolumeClaim": "V1PersistentVolumeClaim", "v1 ServiceAccount": "V1ServiceAccount", "v1 Service": "V1Service",
    "apps/v1 Deployment": "V1Deployment", "policy/v1 PodDisruptionBudget": "V1PodDisruptionBudget",
    "networking.k8s.io/v1 NetworkPolicy": "V1NetworkPolicy", "autoscaling/v2 HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler",
    "serving.kserve.io/v1alpha1 ServingRuntime": "V1alpha1ServingRuntime",
    "serving.kserve.io/v1beta1 InferenceService": "V1beta1InferenceService",
    "kubeflow.org/v2beta1 MPIJob": "V2beta1MPIJob",
}
REF = "#/$defs/"
EXTRA = {  # name: ({field: shape}, required fields)
    "V2beta1MPIJob": ({
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": REF + "V1ObjectMeta"},
        "spec": {"$ref": REF + "V2beta1MPIJobSpec"}}, ["spec"]),
    "V2beta1MPIJobSpec": ({
        "slotsPerWorker": {"type": "integer"}, "runPolicy": {"$ref": REF + "V2beta1RunPolicy"},
        "mpiReplicaSpecs": {"type": "object", "additionalProperties": False, "required": ["Launcher"], "properties": {
            kind: {"$ref": REF + "V2beta1ReplicaSpec"} for kind in ("Launcher", "Worker")}},
        "sshAuthMountPath": {"type": "string"}, "waitForWorkers": {"type": "boolean"},
        "mpiImplementation": {"enum": ["OpenMPI", "Intel"]}}, ["mpiReplicaSpecs"]),
    "V2beta1ReplicaSpec": ({
        "replicas": {"type": "integer"}, "template": {"$ref": REF + "V1PodTemplateSpec"},
        "restartPolicy": {"enum": ["Always", "OnFailure", "Never", "ExitCode"]}}, ["template"]),
    "V2beta1RunPolicy": ({
        "cleanPodPolicy": {"enum": ["All", "Running", "None"]}, "ttlSecondsAfterFinished": {"type": "integer"},
        "activeDeadlineSeconds": {"type": "integer"}, "backoffLimit": {"type": "integer"}, "suspend": {"type": "boolean"},
        "schedulingPolicy": {"type": "object"}}, []),
}
VERSION = importlib.metadata.version
PLAIN = {
    "str": {"type": "string"}, "int": {"type": "integer"}, "bool": {"type": "boolean"}, "float": {"type": "number"},
    "object": {}, "datetime": {"type": "string"}, "ResourceQuantity": {"type": "string"},
    "IntstrIntOrString": {"type": ["string", "integer"]}, "K8sIoApimachineryPkgApisMetaV1Time": {"type": "string"},
}


def model(name):
    for module in (kserve.models, kubernetes.client.models):
        if hasattr(module, name):
            return getattr(module, name)
    return None


def required(cls, field):
    """A generated setter refuses None for a required field."""
    return "must not be `None`" in inspect.getsource(getattr(cls, field).fset)


def shape(kind, todo):
    if m := re.fullmatch(r"list\[(.+)\]", kind):
        return {"type": "array", "items": shape(m[1], todo)}
    if m := re.fullmatch(r"dict\((?:str|string), (.+)\)", kind):
        return {"type": "object", "additionalProperties": shape(m[1], todo)}
    if kind in PLAIN:
        return PLAIN[kind]
    if model(kind) is None:
        return {}
    todo.append(kind)
    return {"$ref": f"#/$defs/{kind}"}


def definition(name, todo):
    if name in EXTRA:
        properties, needed = EXTRA[name]
        todo.extend(re.findall(REF.replace("$", r"\$") + r"(\w+)", json.dumps(properties)))
        return closed(properties, needed)
    cls = model(name)
    if hasattr(cls, "model_fields"):
        return from_pydantic(cls, todo)
    properties = {key: shape(cls.openapi_types[field], todo) for field, key in cls.attribute_map.items()}
    return closed(properties, [key for field, key in cls.attribute_map.items() if required(cls, field)])


def from_pydantic(cls, todo):
    whole = cls.model_json_schema(mode="serialization", by_alias=True, ref_template="#/$defs/{model}")
    own = whole["$defs"][cls.__name__] if "$ref" in whole else whole
    todo.extend(n for n in whole.get("$defs", {}) if model(n))
    needed = [f.serialization_alias or field for field, f in cls.model_fields.items() if f.is_required()]
    return closed({key: bare(value) for key, value in own["properties"].items()}, needed)


def bare(value):
    """A property without its words, and without the null that a client's optional fields allow."""
    if isinstance(value, list):
        return [bare(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {k: bare(v) for k, v in value.items() if k not in ("title", "description", "default")}
    if "anyOf" in out:
        out["anyOf"] = [v for v in out["anyOf"] if v != {"type": "null"}]
        if len(out["anyOf"]) == 1:
            return out["anyOf"][0]
    return out


def closed(properties, needed):
    out = {"type": "object", "properties": properties, "additionalProperties": False}
    if needed:
        out["required"] = sorted(needed)
    return out


def main():
    definitions, todo = {}, list(ROOTS.values())
    while todo:
        name = todo.pop()
        if name not in definitions:
            definitions[name] = definition(name, todo)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"made by schema.py from the models of kserve {VERSION('kserve')} and kubernetes {VERSION('kubernetes')}, and by hand of MPIJob",
        "kinds": ROOTS, "$defs": dict(sorted(definitions.items())),
    }
    path = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("schema.json"))
    lines = json.dumps(schema, indent=0, sort_keys=False).replace("\n", " ").replace('}, "V', '},\n"V')
    path.write_text(lines + "\n")


main()
