//! The description of the API as an OpenAPI document, made of what routes say where they are declared: it has those that
//! there are, with the methods that have handlers, and no others.

use std::collections::BTreeMap;

use axum::http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::server::http::describe::{About, Kind, Parameter, Place, Reply, Shape, Tag};
use crate::server::http::route::{API, Route};
use crate::server::http::server::Settings;

/// The versions of OpenAPI there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V31,
    /// Which can say what the items of a stream are.
    V32,
}

/// A document of each version, as YAML.
pub struct Documents {
    v31: String,
    v32: String,
}

impl Documents {
    /// Of those routes that a server with these settings has.
    pub fn of(routes: &[Route], settings: &Settings) -> Self {
        let of = |version| document(routes, settings, version);
        Self { v31: of(Version::V31), v32: of(Version::V32) }
    }

    pub fn get(&self, version: Version) -> &str {
        match version {
            Version::V31 => &self.v31,
            Version::V32 => &self.v32,
        }
    }
}

#[derive(Serialize)]
struct Document {
    openapi: &'static str,
    info: Value,
    servers: Value,
    tags: Value,
    paths: BTreeMap<String, Value>,
    components: Value,
}

fn document(routes: &[Route], settings: &Settings, version: Version) -> String {
    let tag = |tag: &Tag| {
        let (name, description) = tag.texts();
        json!({ "name": name, "description": description })
    };
    let is_there = |route: &&Route| route.is_of_api() && !(route.of_samples && settings.agent);
    let document = Document {
        openapi: if version == Version::V31 { "3.1.0" } else { "3.2.0" },
        info: json!({
            "title": "promlake",
            "description": "Prometheus' HTTP API over metrics in an open table.",
            "version": settings.build.version,
        }),
        servers: json!([{ "url": format!("{}/api/v1", settings.external_url.trim_end_matches('/')) }]),
        tags: Tag::ALL.iter().map(tag).collect(),
        paths: routes.iter().filter(is_there).filter_map(|route| path(route, version)).collect(),
        components: json!({ "schemas": { "Error": error_schema() } }),
    };
    serde_yaml::to_string(&document).expect("texts and numbers have a YAML form")
}

/// A path below that of the API, with its operations.
fn path(route: &Route, version: Version) -> Option<(String, Value)> {
    let about = route.about.as_ref()?;
    let operations = route.methods.iter().enumerate().map(|(at, method)| {
        let name = method.as_str().to_lowercase();
        let id = if at == 0 { about.id.to_string() } else { format!("{}-{name}", about.id) };
        (name, operation(about, id, method, version))
    });
    let path = format!("/{}", route.path.strip_prefix(API)?);
    Some((path, Value::Object(operations.collect())))
}

fn operation(about: &About, id: String, method: &Method, version: Version) -> Value {
    // What has a body has its parameters there, but for those that have a place of their own.
    let in_form = |parameter: &&Parameter| *method != Method::GET && parameter.place == Place::Query;
    let parameters: Vec<Value> = about.parameters.iter().filter(|p| !in_form(p)).map(parameter).collect();
    let fields: Vec<&Parameter> = about.parameters.iter().filter(in_form).collect();
    let mut operation = json!({
        "operationId": id,
        "tags": [about.tag.texts().0],
        "summary": format!("{}.", about.summary),
        "responses": responses(&about.reply, version),
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    let mut content: Map<String, Value> = Map::new();
    content.extend(about.bodies.iter().map(|media_type| (media_type.to_string(), json!({}))));
    if !fields.is_empty() {
        content.insert("application/x-www-form-urlencoded".to_string(), json!({ "schema": form(&fields) }));
    }
    if !content.is_empty() {
        let required = !about.bodies.is_empty() || fields.iter().any(|field| field.required);
        operation["requestBody"] = json!({ "required": required, "content": content });
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name,
        "in": match parameter.place {
            Place::Query => "query",
            Place::Path => "path",
            Place::Header => "header",
        },
        "description": format!("{}.", parameter.text),
        "required": parameter.required,
        "schema": kind_schema(&parameter.kind),
    })
}

fn form(fields: &[&Parameter]) -> Value {
    let property = |field: &&Parameter| {
        let mut schema = kind_schema(&field.kind);
        schema["description"] = format!("{}.", field.text).into();
        (field.name.to_string(), schema)
    };
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    object(fields.iter().map(property).collect(), &required)
}

fn kind_schema(kind: &Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Whole => json!({ "type": "integer", "format": "int64" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Time => json!({ "oneOf": [{ "type": "string", "format": "date-time" }, { "type": "number" }] }),
        Kind::Duration => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
    }
}

fn responses(reply: &Reply, version: Version) -> Value {
    let content = match reply {
        Reply::Nothing => None,
        Reply::Data(shape) => Some(("application/json", json!({ "schema": envelope(shape) }))),
        Reply::Raw(media_type) => Some((*media_type, json!({}))),
        Reply::Sequence(media_type, shape) => {
            let items = match version {
                Version::V31 => json!({ "schema": { "type": "string" } }),
                Version::V32 => json!({ "itemSchema": schema(shape) }),
            };
            Some((*media_type, items))
        }
    };
    let failed = json!({
        "description": "What is wrong, and with what.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    match content {
        None => json!({ "204": { "description": "Done." }, "default": failed }),
        Some((media_type, content)) => json!({
            "200": { "description": "The answer.", "content": { media_type: content } },
            "default": failed,
        }),
    }
}

fn envelope(data: &Shape) -> Value {
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let properties = [
        ("status", json!({ "const": "success" })),
        ("data", schema(data)),
        ("warnings", texts()),
        ("infos", texts()),
    ];
    let properties = properties.into_iter().map(|(name, schema)| (name.to_string(), schema));
    object(properties.collect(), &["status", "data"])
}

fn error_schema() -> Value {
    let properties = [
        ("status", json!({ "const": "error" })),
        ("errorType", json!({ "type": "string" })),
        ("error", json!({ "type": "string" })),
    ];
    let properties = properties.into_iter().map(|(name, schema)| (name.to_string(), schema));
    object(properties.collect(), &["status", "errorType", "error"])
}

fn schema(shape: &Shape) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Text => json!({ "type": "string" }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Whole => json!({ "type": "integer" }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Time => json!({ "type": "string", "format": "date-time" }),
        Shape::List(items) => json!({ "type": "array", "items": schema(items) }),
        Shape::Map(values) => json!({ "type": "object", "additionalProperties": schema(values) }),
        Shape::Object(fields) => {
            let property = |(name, shape): &(&str, Shape)| (name.trim_end_matches('?').to_string(), schema(shape));
            let required: Vec<&str> =
                fields.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('?')).collect();
            object(fields.iter().map(property).collect(), &required)
        }
    }
}

fn object(properties: Map<String, Value>, required: &[&str]) -> Value {
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

#[cfg(test)]
mod tests;
