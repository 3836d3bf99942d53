//! The JSON Schema of a result: generated from the types, committed for other programs, and what files are held to.

use std::sync::LazyLock;

use anyhow::{Result, anyhow, bail};
use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::RunResult;

const COMMITTED: &str = include_str!("../../../../bench/results.schema.json");
/// A foreign file has as many errors as fields: the first few say enough.
const ERRORS_SHOWN_MAX: usize = 5;
const VALUE_CHARS_MAX: usize = 80;

static VALIDATOR: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(COMMITTED).map_err(|error| error.to_string())?;
    // Everything that the schema refers to stands in it: nothing is looked up.
    jsonschema::validator_for(&schema).map_err(|error| error.to_string())
});

/// The JSON Schema of a result, from the types.
///
/// # Errors
/// If it cannot be serialised.
pub fn generated() -> Result<String> {
    Ok(serde_json::to_string_pretty(&schemars::schema_for!(RunResult))? + "\n")
}

/// Holds a document to the committed schema. The error names the fields that are wrong.
pub(super) fn check(document: &Value) -> Result<()> {
    let validator = VALIDATOR.as_ref().map_err(|error| anyhow!("the schema of results is not valid: {error}"))?;
    let errors: Vec<String> =
        validator.iter_errors(document).flat_map(|error| told(&error)).take(ERRORS_SHOWN_MAX).collect();
    if errors.is_empty() {
        return Ok(());
    }
    bail!("{}", errors.join("; "))
}

/// An error with its place. Of alternatives none of which fits, the one that fits best is told about, else the place would be that of all of them.
fn told(error: &ValidationError<'_>) -> Vec<String> {
    if let ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } = error.kind()
        && let Some(best) = context.iter().max_by_key(|errors| errors.iter().map(depth).max())
    {
        return best.iter().flat_map(told).collect();
    }
    let place = error.instance_path().as_str();
    let place = if place.is_empty() { "/" } else { place };
    let long = error.instance().to_string().len() > VALUE_CHARS_MAX;
    vec![if long { format!("{place}: {}", error.masked()) } else { format!("{place}: {error}") }]
}

fn depth(error: &ValidationError<'_>) -> usize {
    error.instance_path().as_str().matches('/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_the_one_of_the_types() {
        assert!(
            COMMITTED == generated().expect("serialises"),
            "bench/results.schema.json is stale: cargo run -p bench -- schema > bench/results.schema.json"
        );
    }
}
