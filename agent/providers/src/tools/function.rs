//! A Rust function as a tool; its JSON Schema comes from the type of its argument.

use std::{future::Future, marker::PhantomData, pin::Pin, time::Duration};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{DEFAULT_LIMIT, Timing, Tool, ToolError, ToolSpec};

type Run<A> = dyn Fn(A) -> Pin<Box<dyn Future<Output = Result<String, ToolError>> + Send>> + Send + Sync;

/// See [`function`].
pub struct FunctionTool<A> {
    spec: ToolSpec,
    timing: Timing,
    limit: Duration,
    run: Box<Run<A>>,
    argument: PhantomData<fn(A)>,
}

/// Makes a tool of `run`. The doc comments of `A`'s fields are what the model reads of them.
///
/// ```
/// # use providers::tools::{function, Tool};
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Order {
///     /// The order's number, such as A-1234.
///     number: String,
/// }
/// let tool = function("find_order", "Looks an order up.", |order: Order| async move {
///     Ok(format!("order {} is on its way", order.number))
/// });
/// assert_eq!(tool.spec().parameters["required"][0], "number");
/// ```
pub fn function<A, F, T>(name: &str, description: &str, run: F) -> FunctionTool<A>
where
    A: DeserializeOwned + JsonSchema,
    F: Fn(A) -> T + Send + Sync + 'static,
    T: Future<Output = Result<String, ToolError>> + Send + 'static,
{
    let mut parameters = schemars::schema_for!(A).to_value();
    if let Some(schema) = parameters.as_object_mut() {
        // Models need neither, and pay for both with every turn.
        schema.remove("$schema");
        schema.remove("title");
    }
    FunctionTool {
        spec: ToolSpec {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters,
        },
        timing: Timing::Now,
        limit: DEFAULT_LIMIT,
        run: Box::new(move |argument| Box::pin(run(argument))),
        argument: PhantomData,
    }
}

impl<A> FunctionTool<A> {
    /// Lets it run when the agent has been heard, see [`Timing::AfterSpeech`].
    #[must_use]
    pub fn after_speech(mut self) -> Self {
        self.timing = Timing::AfterSpeech;
        self
    }

    /// Tells the model more of its parameters than the type does.
    #[must_use]
    pub fn with_parameters(mut self, parameters: Value) -> Self {
        self.spec.parameters = parameters;
        self
    }

    /// Lets it take as long as that.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

#[async_trait]
impl<A: DeserializeOwned + Send> Tool for FunctionTool<A> {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn limit(&self) -> Duration {
        self.limit
    }

    async fn call(&self, arguments: Value) -> Result<String, ToolError> {
        let argument = serde_json::from_value(arguments)
            .map_err(|error| ToolError(format!("the arguments do not fit: {error}")))?;
        (self.run)(argument).await
    }
}
