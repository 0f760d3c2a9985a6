use std::collections::BTreeMap;

/// Where variables come from. Programs use [`ProcessEnvironment`], tests a map.
pub trait Environment {
    /// The variable's value; `None` when it is not set. What is not UTF-8 counts as not set.
    fn var(&self, name: &str) -> Option<String>;

    /// All variables whose names begin with `prefix`, by name.
    fn vars_with_prefix(&self, prefix: &str) -> BTreeMap<String, String>;
}

/// The environment of this process. The only place that reads it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that the ban points to"
    )]
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn vars_with_prefix(&self, prefix: &str) -> BTreeMap<String, String> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(prefix))
            .collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }

    fn vars_with_prefix(&self, prefix: &str) -> BTreeMap<String, String> {
        self.iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    }
}

/// The environment of a process without a gateway: what `sip` says of addresses does not matter there, and is not asked for.
#[derive(Debug, Clone, Copy)]
pub struct WithoutGateway<E>(pub E);

impl<E> WithoutGateway<E> {
    /// No address is advertised, and no port is taken.
    const LISTEN: (&str, &str) = ("TRUNKLINE__SIP__LISTEN", "127.0.0.1:0");
}

impl<E: Environment> Environment for WithoutGateway<E> {
    fn var(&self, name: &str) -> Option<String> {
        let (listen, nowhere) = Self::LISTEN;
        if name == listen {
            return Some(nowhere.to_owned());
        }
        self.0.var(name)
    }

    fn vars_with_prefix(&self, prefix: &str) -> BTreeMap<String, String> {
        let (listen, nowhere) = Self::LISTEN;
        let mut vars = self.0.vars_with_prefix(prefix);
        if listen.starts_with(prefix) {
            vars.insert(listen.to_owned(), nowhere.to_owned());
        }
        vars
    }
}
