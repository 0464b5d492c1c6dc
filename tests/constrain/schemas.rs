//! Schemas of the kinds that applications have: nested, recursive, with enums, formats, bounds, and large.

/// A name and a schema.
pub(crate) const ALL: &[(&str, &str)] = &[
    (
        "nested",
        r#"{ "type": "object", "required": ["name", "address", "tags"], "additionalProperties": false, "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": 40 },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "address": { "type": "object", "required": ["city"], "additionalProperties": false, "properties": {
                "street": { "type": "string" }, "city": { "type": "string" },
                "position": { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 } } },
            "tags": { "type": "array", "items": { "type": "string", "pattern": "^[a-z]{2,8}$" }, "maxItems": 4 } } }"#,
    ),
    (
        "enums",
        r#"{ "type": "object", "required": ["color", "size", "kind"], "additionalProperties": false, "properties": {
            "color": { "enum": ["red", "green", "ünïcödé 👍", "a \"quoted\" \\ one"] },
            "size": { "enum": [1, 2.5, null, true, ["a", 1], { "b": 2 }] },
            "kind": { "const": "order" } } }"#,
    ),
    (
        "recursive",
        r##"{ "$ref": "#/$defs/node", "$defs": { "node": { "type": "object", "required": ["value"], "additionalProperties": false,
            "properties": { "value": { "type": "integer" }, "children": { "type": "array", "maxItems": 3,
            "items": { "$ref": "#/$defs/node" } } } } } }"##,
    ),
    (
        "references by other names",
        r##"{ "type": "object", "required": ["a", "b", "c"], "additionalProperties": false, "properties": {
            "a": { "$ref": "#/$defs/with~1slash" }, "b": { "$ref": "#anchored" }, "c": { "$ref": "#/$defs/per%20cent" } },
            "$defs": { "with/slash": { "type": "boolean" }, "other": { "$anchor": "anchored", "type": "null" },
            "per cent": { "type": "array", "maxItems": 1, "items": { "$ref": "#/$defs/with~1slash" } } } }"##,
    ),
    (
        "formats",
        r#"{ "type": "object", "additionalProperties": false,
            "required": ["date", "time", "date-time", "uuid", "ipv4", "email", "uri"], "properties": {
            "date": { "type": "string", "format": "date" }, "time": { "type": "string", "format": "time" },
            "date-time": { "type": "string", "format": "date-time" }, "uuid": { "type": "string", "format": "uuid" },
            "ipv4": { "type": "string", "format": "ipv4" }, "email": { "type": "string", "format": "email" },
            "uri": { "type": "string", "format": "uri" } } }"#,
    ),
    (
        "numbers",
        r#"{ "type": "array", "minItems": 4, "maxItems": 6, "items": { "anyOf": [
            { "type": "integer", "exclusiveMinimum": -7, "maximum": 12345 },
            { "type": "number", "minimum": 0.25, "exclusiveMaximum": 1.5 },
            { "type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 700 } ] } }"#,
    ),
    (
        "tuple",
        r#"{ "type": "array", "prefixItems": [{ "type": "string", "maxLength": 5 }, { "type": "integer" }], "items": false,
            "minItems": 2 }"#,
    ),
    (
        "all of",
        r#"{ "allOf": [
            { "type": "object", "required": ["id"], "properties": { "id": { "type": "integer", "minimum": 1 } } },
            { "type": "object", "required": ["name"], "properties": { "name": { "type": "string", "maxLength": 9 } } } ],
            "properties": { "id": { "maximum": 99 }, "name": { "minLength": 2 } }, "additionalProperties": { "type": "boolean" } }"#,
    ),
    (
        "one of",
        r#"{ "oneOf": [
            { "type": "object", "required": ["type", "radius"], "additionalProperties": false,
              "properties": { "type": { "const": "circle" }, "radius": { "type": "number", "minimum": 0 } } },
            { "type": "object", "required": ["type", "side"], "additionalProperties": false,
              "properties": { "type": { "const": "square" }, "side": { "type": "number", "minimum": 0 } } } ] }"#,
    ),
    (
        "one of, told apart by what they refer to",
        r##"{ "type": "object", "required": ["pet", "size", "ratio", "mode"], "additionalProperties": false, "properties": {
            "pet": { "discriminator": { "propertyName": "kind" }, "oneOf": [{ "$ref": "#/$defs/cat" }, { "$ref": "#/$defs/dog" }] },
            "size": { "oneOf": [{ "type": "integer", "maximum": 9 }, { "type": "integer", "exclusiveMinimum": 9 }, { "type": "null" }] },
            "ratio": { "oneOf": [{ "const": "auto" }, { "type": "string", "pattern": "^[0-9]:[0-9]$" }] },
            "mode": { "oneOf": [{ "type": "array", "minItems": 1, "prefixItems": [{ "const": "on" }], "maxItems": 2 },
                { "type": "array", "minItems": 1, "prefixItems": [{ "const": "off" }], "maxItems": 1 }] } },
            "$defs": { "cat": { "type": "object", "required": ["kind"], "additionalProperties": false,
                "properties": { "kind": { "const": "cat" }, "lives": { "enum": [7, 9] } } },
            "dog": { "type": "object", "required": ["kind"], "additionalProperties": false,
                "properties": { "kind": { "enum": ["dog", "wolf"] }, "lives": { "const": 1 } } } } }"##,
    ),
    (
        "one of, told apart by what they require",
        r#"{ "type": "object", "additionalProperties": false, "properties": { "id": { "type": "integer" },
            "email": { "type": "string", "maxLength": 9 }, "phone": { "type": "integer" } },
            "oneOf": [{ "required": ["email"] }, { "required": ["phone"] }] }"#,
    ),
    (
        "names that are keywords",
        r##"{ "type": "object", "required": ["default", "const", "enum"], "additionalProperties": false, "properties": {
            "default": { "type": "string", "format": "email" }, "enum": { "type": "string", "pattern": "^\\S.\\s$" },
            "const": { "$ref": "#/$defs/a~1b" } }, "$defs": { "a/b": { "type": "string", "format": "email", "pattern": "^..@" } } }"##,
    ),
    (
        "free names",
        r#"{ "type": "object", "properties": { "a": { "type": "integer" } }, "required": ["a"], "maxProperties": 4 }"#,
    ),
    (
        "names by pattern",
        r#"{ "type": "object", "patternProperties": { "^x-[a-z]+$": { "type": "integer" } }, "additionalProperties": false,
            "maxProperties": 5 }"#,
    ),
    ("types", r#"{ "type": ["string", "null", "integer"], "maxLength": 10, "maximum": 3 }"#),
    ("anything", "true"),
    ("large", include_str!("large.json")),
];
