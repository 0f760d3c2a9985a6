//! The tools of one agent, by their names.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use jsonschema::Validator;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::{END_CALL, MAX_RESULT_BYTES, Timing, Tool, ToolCall, ToolError, ToolResult, ToolSpec};
use crate::{Fault, Faults};

/// More than any model chooses well from.
const MAX_TOOLS: usize = 64;
/// A longer argument is no order number.
const MAX_ARGUMENTS_BYTES: usize = 64 << 10;

/// Any number of tools. Clones share them.
#[derive(Clone, Default)]
pub struct Toolbox {
    tools: BTreeMap<String, Arc<Entry>>,
}

struct Entry {
    tool: Arc<dyn Tool>,
    fits: Validator,
}

impl Toolbox {
    /// Puts `tools` together, or finds all that is wrong with them: names and schemas.
    ///
    /// # Errors
    /// [`Faults`] under `tools[…]`.
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Result<Self, Faults> {
        Self::default().with(tools)
    }

    /// These tools and `more`.
    ///
    /// # Errors
    /// As [`Toolbox::new`]; the numbers count within `more`.
    pub fn with(&self, more: impl IntoIterator<Item = Arc<dyn Tool>>) -> Result<Self, Faults> {
        let mut all = self.clone();
        let mut faults = Vec::new();
        for (at, tool) in more.into_iter().enumerate() {
            let spec = tool.spec().clone();
            let mut fault = |key: &str, problem: String, remedy: &str| {
                faults.push(Fault::new(format!("tools[{at}].{key}"), problem, remedy));
            };
            if !is_name(&spec.name) {
                fault(
                    "name",
                    "is not a tool's name".into(),
                    "write 1–64 of A-Z a-z 0-9 _ -",
                );
            }
            if spec.name == END_CALL || all.tools.contains_key(&spec.name) || all.tools.len() >= MAX_TOOLS {
                let remedy = "give each tool, at most 64, a name of its own";
                fault("name", format!("`{}` is taken", spec.name), remedy);
            }
            match validator(&spec.parameters) {
                Ok(fits) => drop(all.tools.insert(spec.name, Arc::new(Entry { tool, fits }))),
                Err(problem) => fault(
                    "parameters",
                    problem,
                    "write a JSON Schema with `type: object` and `properties`",
                ),
            }
        }
        Faults::or(faults, all)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// Whether there is one of that name.
    pub fn has(&self, name: &str) -> bool {
        self.tools.contains_key(name)
    }

    /// What a model is told of them.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools
            .values()
            .map(|entry| entry.tool.spec().clone())
            .collect()
    }

    /// When the tool of that name runs; what is unknown is answered at once.
    pub fn timing(&self, name: &str) -> Timing {
        self.tools
            .get(name)
            .map_or(Timing::Now, |entry| entry.tool.timing())
    }

    /// How long a call of the tool of that name may take.
    pub fn limit(&self, name: &str) -> Duration {
        self.tools
            .get(name)
            .map_or(Duration::ZERO, |entry| entry.tool.limit())
    }

    /// Calls a tool and waits for it, within its limit.
    pub async fn call(&self, call: &ToolCall) -> ToolResult {
        let (content, is_error) = match self.done(call).await {
            Ok(content) => (content, false),
            Err(ToolError(content)) => (content, true),
        };
        ToolResult {
            id: call.id.clone(),
            content: cut(content),
            is_error,
        }
    }

    async fn done(&self, call: &ToolCall) -> Result<String, ToolError> {
        let Some(entry) = self.tools.get(&call.name) else {
            let known: Vec<_> = self.tools.keys().map(String::as_str).collect();
            let known = known.join(", ");
            return Err(ToolError(format!("there is no such tool; there are: {known}")));
        };
        let arguments = arguments(&call.arguments)?;
        if let Err(error) = entry.fits.validate(&arguments) {
            let at = error.instance_path().to_string();
            return Err(ToolError(format!(
                "the arguments do not fit the schema at `{at}`: {error}"
            )));
        }
        let limit = entry.tool.limit();
        let called = timeout(limit, entry.tool.call(arguments)).await;
        called.unwrap_or_else(|_| Err(ToolError(format!("no answer within {limit:?}"))))
    }
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Toolbox")
            .field(&self.tools.keys().collect::<Vec<_>>())
            .finish()
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

fn validator(schema: &Value) -> Result<Validator, String> {
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err("is not the schema of an object".to_owned());
    }
    jsonschema::validator_for(schema).map_err(|error| format!("is not a JSON Schema: {error}"))
}

fn arguments(text: &str) -> Result<Value, ToolError> {
    if text.len() > MAX_ARGUMENTS_BYTES {
        return Err(ToolError(format!(
            "the arguments are longer than {MAX_ARGUMENTS_BYTES} bytes"
        )));
    }
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(arguments @ Value::Object(_)) => Ok(arguments),
        // What some models write for a tool without parameters.
        Ok(Value::Null) => Ok(Value::Object(Map::new())),
        Ok(_) | Err(_) => Err(ToolError("the arguments are not a JSON object".to_owned())),
    }
}

fn cut(mut content: String) -> String {
    const CUT: &str = " … (cut)";
    if content.len() > MAX_RESULT_BYTES {
        content.truncate(content.floor_char_boundary(MAX_RESULT_BYTES - CUT.len()));
        content.push_str(CUT);
    }
    content
}

#[cfg(test)]
mod tests {
    use super::super::function;
    use super::*;

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Order {
        /// The order's number.
        number: String,
    }

    fn toolbox() -> Toolbox {
        let find = function("find_order", "Finds an order.", |order: Order| async move {
            match order.number.as_str() {
                "slow" => std::future::pending().await,
                "long" => Ok("ä".repeat(MAX_RESULT_BYTES)),
                "none" => Err(ToolError("there is no such order".into())),
                number => Ok(format!("{number} is on its way")),
            }
        });
        Toolbox::new([Arc::new(find) as Arc<dyn Tool>]).unwrap()
    }

    async fn called(name: &str, arguments: &str) -> (String, bool) {
        let call = ToolCall {
            id: "c1".into(),
            name: name.into(),
            arguments: arguments.into(),
        };
        let result = toolbox().call(&call).await;
        assert_eq!(result.id, "c1");
        (result.content, result.is_error)
    }

    #[test]
    fn the_schema_is_the_types() {
        let specs = toolbox().specs();
        assert_eq!(specs.len(), 1);
        assert_eq!(
            specs[0].parameters,
            serde_json::json!({
                "type": "object",
                "properties": {"number": {"type": "string", "description": "The order's number."}},
                "required": ["number"],
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_call_has_one_result_whatever_happens() {
        assert_eq!(
            called("find_order", r#"{"number": "A1"}"#).await,
            ("A1 is on its way".into(), false)
        );
        for (name, arguments, words) in [
            ("find_order", r#"{"number": "none"}"#, "no such order"),
            (
                "find_order",
                r#"{"number": 7}"#,
                "do not fit the schema at `/number`",
            ),
            ("find_order", "", "do not fit the schema"),
            ("find_order", "null", "do not fit the schema"),
            ("find_order", "[]", "not a JSON object"),
            ("find_order", "{", "not a JSON object"),
            ("find_order", &" ".repeat(MAX_ARGUMENTS_BYTES + 1), "longer than"),
            ("find_order", r#"{"number": "slow"}"#, "no answer within 5s"),
            ("sing", "{}", "no such tool; there are: find_order"),
        ] {
            let (content, is_error) = called(name, arguments).await;
            assert!(is_error && content.contains(words), "{arguments:.40}: {content}");
        }
    }

    #[tokio::test]
    async fn a_long_result_is_cut_between_two_characters() {
        let (content, is_error) = called("find_order", r#"{"number": "long"}"#).await;
        assert!(!is_error && content.len() <= MAX_RESULT_BYTES && content.ends_with("(cut)"));
    }

    #[test]
    fn all_faults_come_at_once() {
        let tool = |name: &str| {
            Arc::new(function(name, "", |_: Order| async { Ok(String::new()) }).limit(Duration::ZERO))
                as Arc<dyn Tool>
        };
        let bad = Arc::new(function("schema", "", |(): ()| async { Ok(String::new()) }));
        let Err(Faults(faults)) =
            toolbox().with([tool("a b"), tool(END_CALL), tool("find_order"), bad, tool("fine")])
        else {
            panic!("that has faults");
        };
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "tools[0].name",
                "tools[1].name",
                "tools[2].name",
                "tools[3].parameters"
            ]
        );
    }
}
