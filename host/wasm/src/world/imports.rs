//! What a component may import: the capabilities, over the `bindings` of the module that
//! invokes the macro. What each of them does is in `capabilities`.

/// Defines `link` over a sibling module `bindings`, and the host's side of every import.
macro_rules! imports {
    () => {
        use wasmtime::component::{HasSelf, Linker};

        use crate::{
            Capability, Grants,
            capabilities::{
                call as call_capability, clock, credential, facts, log, random, state as values,
            },
            lines::LogLevel,
        };

        /// Adds what a component may import; capabilities only as granted.
        pub(crate) fn link(linker: &mut Linker<State>, grants: Grants) -> Result<()> {
            fn itself(state: &mut State) -> &mut State {
                state
            }
            host::types::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            host::call::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            host::progress::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            if grants.has(Capability::Log) {
                host::log::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            }
            if grants.has(Capability::Clock) {
                host::clock::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            }
            if grants.has(Capability::Random) {
                host::random::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            }
            if grants.has(Capability::State) {
                host::state::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            }
            if grants.has(Capability::Credential) {
                host::credential::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            }
            if grants.has(Capability::Facts) {
                host::facts::add_to_linker::<_, HasSelf<State>>(linker, itself)?;
            }
            Ok(())
        }

        impl host::types::Host for State {}

        impl host::log::Host for State {
            fn write(&mut self, level: host::log::Level, message: String) -> Result<()> {
                self.host_call()?;
                let level = match level {
                    host::log::Level::Debug => LogLevel::Debug,
                    host::log::Level::Info => LogLevel::Info,
                    host::log::Level::Warn => LogLevel::Warn,
                    host::log::Level::Error => LogLevel::Error,
                };
                log::write(self, level, &message);
                Ok(())
            }
        }

        impl host::clock::Host for State {
            fn now(&mut self) -> Result<u64> {
                self.host_call()?;
                Ok(clock::now(self))
            }
        }

        impl host::random::Host for State {
            fn bytes(&mut self, length: u32) -> Result<Vec<u8>> {
                self.host_call()?;
                random::bytes(self, length)
            }
        }

        impl host::call::Host for State {
            fn cancelled(&mut self) -> Result<bool> {
                self.host_call()?;
                Ok(call_capability::cancelled(self))
            }

            fn remaining(&mut self) -> Result<u32> {
                self.host_call()?;
                Ok(call_capability::remaining(self))
            }
        }

        impl host::progress::Host for State {
            fn report(
                &mut self,
                progress: f64,
                total: Option<f64>,
                message: Option<String>,
            ) -> Result<()> {
                self.host_call()?;
                call_capability::progress(self, progress, total, message);
                Ok(())
            }
        }

        fn state_error(error: values::KeyValueError) -> host::state::StateError {
            match error {
                values::KeyValueError::Quota => host::state::StateError::Quota,
                values::KeyValueError::TooLarge => host::state::StateError::TooLarge,
                values::KeyValueError::Unavailable(why) => {
                    host::state::StateError::Unavailable(why)
                }
            }
        }

        impl host::state::Host for State {
            async fn get(
                &mut self,
                key: String,
            ) -> Result<Result<Option<Vec<u8>>, host::state::StateError>> {
                self.host_call()?;
                let found = values::get(self, &key).await;
                Ok(found.map(|value| value.map(Vec::from)).map_err(state_error))
            }

            async fn set(
                &mut self,
                key: String,
                value: Vec<u8>,
                seconds: Option<u32>,
            ) -> Result<Result<(), host::state::StateError>> {
                self.host_call()?;
                Ok(values::set(self, &key, value, seconds).await.map_err(state_error))
            }

            async fn add(
                &mut self,
                key: String,
                by: i64,
                seconds: Option<u32>,
            ) -> Result<Result<i64, host::state::StateError>> {
                self.host_call()?;
                Ok(values::add(self, &key, by, seconds).await.map_err(state_error))
            }

            async fn remove(&mut self, key: String) -> Result<Result<(), host::state::StateError>> {
                self.host_call()?;
                Ok(values::remove(self, &key).await.map_err(state_error))
            }
        }

        fn credential_error(
            error: credential::CredentialError,
        ) -> host::credential::CredentialError {
            match error {
                credential::CredentialError::Unknown => host::credential::CredentialError::Unknown,
                credential::CredentialError::Unavailable => {
                    host::credential::CredentialError::Unavailable
                }
            }
        }

        impl host::credential::Host for State {
            fn names(&mut self) -> Result<Vec<String>> {
                self.host_call()?;
                Ok(credential::names(self))
            }

            fn handle(
                &mut self,
                name: String,
            ) -> Result<Result<String, host::credential::CredentialError>> {
                self.host_call()?;
                Ok(credential::handle(self, &name).map_err(credential_error))
            }

            fn hmac_sha256(
                &mut self,
                name: String,
                message: Vec<u8>,
            ) -> Result<Result<Vec<u8>, host::credential::CredentialError>> {
                self.host_call()?;
                Ok(credential::hmac_sha256(self, &name, &message).map_err(credential_error))
            }
        }

        impl host::facts::Host for State {
            async fn add(&mut self, fact: String) -> Result<()> {
                self.host_call()?;
                facts::add(self, &fact).await
            }

            fn has(&mut self, fact: String) -> Result<bool> {
                self.host_call()?;
                facts::has(self, &fact)
            }

            fn all(&mut self) -> Result<Vec<String>> {
                self.host_call()?;
                facts::all(self)
            }
        }
    };
}
