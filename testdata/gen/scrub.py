"""Drops from an exported model what names the folders of the machine that exported it."""

import re

# A path of a machine: an absolute one, or one that goes through an installed package or a source file.
_PATH = re.compile(r"site-packages|\.py\b|(^|[\s\"'(=])/(tmp|root|home|usr|work|opt|var)/")

# What the dynamo exporter writes for debugging. The stack trace names source files; the FX node, the signature
# of the exported program and the guards are large and mean nothing to a reader of the graph. The name scopes and
# the class hierarchy stay: they say which module a node comes from.
_DEBUG = ("stack_trace", "fx_node", "graph_signature", "range_constraints", "exported_program")


def scrub(proto):
    """Removes debugging metadata and doc strings that hold paths, in place; raises if a path is left."""
    _scrub_graph(proto.graph)
    for function in proto.functions:
        _strip(function)
        for node in function.node:
            _scrub_node(node)
    _strip(proto)
    left = _PATH.search(_texts(proto))
    if left:
        raise ValueError(f"a path is left in the model: {_texts(proto)[max(0, left.start() - 60):left.end() + 60]!r}")


def _scrub_graph(graph):
    _strip(graph)
    for item in [*graph.input, *graph.output, *graph.value_info, *graph.initializer]:
        _strip(item)
    for node in graph.node:
        _scrub_node(node)


def _scrub_node(node):
    _strip(node)
    for attribute in node.attribute:
        for sub in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
            _scrub_graph(sub)


def _strip(item):
    """Drops an item's doc string if it names a path, and its debugging metadata."""
    if _PATH.search(item.doc_string):
        item.ClearField("doc_string")
    kept = [(p.key, p.value) for p in item.metadata_props if not any(d in p.key for d in _DEBUG)]
    del item.metadata_props[:]
    for key, value in kept:
        item.metadata_props.add(key=key, value=value)


def _texts(proto):
    """All printable text of the serialised model, for the last look."""
    return proto.SerializeToString().decode("latin-1")
