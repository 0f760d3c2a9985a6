//! redis-server: on loopback, nothing on disk.

use std::path::Path;

use crate::ports::TcpReservation;
use crate::server::Server;
use crate::{StackError, probe};

pub(crate) const NAME: &str = "redis-server";

/// What Redis is started with; kept for a restart on the same port.
#[derive(Debug, Clone)]
pub(crate) struct RedisSettings {
    pub(crate) port: u16,
}

impl RedisSettings {
    pub(crate) fn reserve() -> Result<(Self, TcpReservation), StackError> {
        let reservation = TcpReservation::new()?;
        Ok((
            Self {
                port: reservation.port(),
            },
            reservation,
        ))
    }

    pub(crate) fn spawn(&self, program: &Path, dir: &Path) -> Result<Server, StackError> {
        let port = self.port.to_string();
        let dir_text = dir.to_string_lossy();
        let args = [
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
        probe::redis_is(self.port, server.pid()).await
    }
}
