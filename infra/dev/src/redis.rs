//! redis-server: on loopback, behind a password, nothing on disk.

use std::fmt;
use std::path::Path;

use crate::ports::TcpReservation;
use crate::server::Server;
use crate::{StackError, files, probe};

pub(crate) const NAME: &str = "redis-server";

/// What Redis is started with; kept for a restart on the same port. The password stays out of `Debug`.
#[derive(Clone)]
pub(crate) struct RedisSettings {
    pub(crate) port: u16,
    pub(crate) password: String,
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl RedisSettings {
    pub(crate) fn reserve(password: &str) -> Result<(Self, TcpReservation), StackError> {
        let reservation = TcpReservation::new()?;
        let settings = Self {
            port: reservation.port(),
            password: password.to_owned(),
        };
        Ok((settings, reservation))
    }

    pub(crate) fn spawn(&self, program: &Path, dir: &Path) -> Result<Server, StackError> {
        // A command line is there for everybody to read.
        let secrets = dir.join("redis.conf");
        files::write_private(&secrets, &format!("requirepass {}\n", self.password))?;
        let (secrets, dir_text) = (secrets.to_string_lossy(), dir.to_string_lossy());
        let port = self.port.to_string();
        let args = [
            &secrets,
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--protected-mode",
            "yes",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            &dir_text,
        ];
        Server::spawn(
            NAME,
            program,
            &args.map(str::to_owned),
            &dir.join("redis-server.log"),
        )
    }

    pub(crate) async fn is_ready(&self, server: &Server) -> bool {
        probe::redis_is(self.port, &self.password, server.pid()).await
    }
}
