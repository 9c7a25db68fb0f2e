//! A JSON Schema per collection, from a folder of `<collection>.json`. They are compiled when the server
//! starts; nothing is fetched, from the network or from other files. What a refusal says names the
//! field and the rule: a message must not carry what the user wrote.

use crate::{ServerError, check, decide::Refusal};
use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
use keepsync_wire::{SyncItem, code};
use serde_json::Value;
use std::{collections::HashMap, fs, path::Path};

/// Bytes of a field's name in a message, at most: names of fields can come from a body too.
const FIELD_BYTES: usize = 200;

/// The schemas of a server.
#[derive(Default)]
pub(crate) struct Schemas {
    by_collection: HashMap<String, Validator>,
    known_only: bool,
}

impl Schemas {
    /// Reads and compiles the folder's.
    pub(crate) fn load(folder: Option<&Path>, known_only: bool) -> Result<Self, ServerError> {
        let mut by_collection = HashMap::new();
        if let Some(folder) = folder {
            let what = || format!("read {}", folder.display());
            for entry in fs::read_dir(folder).map_err(ServerError::io(what()))? {
                let path = entry.map_err(ServerError::io(what()))?.path();
                if path.extension().is_some_and(|extension| extension == "json") {
                    let (collection, validator) = compile(&path).map_err(|reason| ServerError::Schema {
                        path: path.clone(),
                        reason,
                    })?;
                    by_collection.insert(collection, validator);
                }
            }
        }
        Ok(Self {
            by_collection,
            known_only,
        })
    }

    /// Compiles these, by the name of their collection.
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ServerError> {
        let mut by_collection = HashMap::new();
        for (name, text) in texts {
            let validator = read(name, text).map_err(|reason| ServerError::Schema {
                path: name.into(),
                reason,
            })?;
            by_collection.insert(name.to_owned(), validator);
        }
        Ok(Self {
            by_collection,
            known_only: false,
        })
    }

    /// What the schema of its collection has against an item.
    pub(crate) fn refusal(&self, item: &SyncItem) -> Option<Refusal> {
        let Some(validator) = self.by_collection.get(&item.entity_type) else {
            return self.known_only.then(|| Refusal {
                code: code::UNKNOWN_COLLECTION,
                message: "entity_type is not a collection of this server".to_owned(),
            });
        };
        let data = item.data.as_ref()?;
        let refuse = |message| {
            Some(Refusal {
                code: code::VALIDATION,
                message,
            })
        };
        let Ok(body) = serde_json::from_str::<Value>(data.get()) else {
            return refuse("data holds text or numbers that cannot be read".to_owned());
        };
        match validator.validate(&body) {
            Ok(()) => None,
            Err(error) => refuse(explain(&error)),
        }
    }
}

fn compile(path: &Path) -> Result<(String, Validator), String> {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), read(name, &text)?))
}

fn read(name: &str, text: &str) -> Result<Validator, String> {
    if !check::is_collection(name) {
        return Err("its name is not a collection's".to_owned());
    }
    let schema: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    jsonschema::options()
        // A pattern that goes back and forth could be kept busy by a body.
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|error| error.to_string())
}

/// The field as a JSON pointer, and the rule it breaks.
fn explain(error: &ValidationError<'_>) -> String {
    let mut field = format!("data{}", error.instance_path().as_str());
    if let ValidationErrorKind::Required { property } = error.kind() {
        let property = property.as_str().unwrap_or_default();
        field.push('/');
        field.push_str(&property.replace('~', "~0").replace('/', "~1"));
    }
    let end = (0..=FIELD_BYTES.min(field.len()))
        .rev()
        .find(|end| field.is_char_boundary(*end));
    field.truncate(end.unwrap_or_default());
    format!("{field} breaks the rule {}", error.kind().keyword())
}
