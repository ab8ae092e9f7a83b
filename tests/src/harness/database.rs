//! A database of its own for each story, in the cluster that `TEST_DATABASE_URL` names.

use std::net::SocketAddr;
use std::str::FromStr;

use sqlx::Connection;
use sqlx::postgres::PgConnectOptions;

/// Owned by the role `trunkline`, which is no superuser, so that row-level security binds it as in production.
pub struct Database {
    name: String,
    pub url: url::Url,
}

impl Database {
    pub async fn fresh() -> Self {
        let name = format!("story_{}_{}", std::process::id(), shared::clock::wall().timestamp_micros());
        let mut connection = superuser().await;
        sqlx::query(sqlx::AssertSqlSafe(format!("create database {name} owner trunkline")))
            .execute(&mut connection)
            .await
            .unwrap();
        let mut url: url::Url = cluster().parse().unwrap();
        url.set_username("trunkline").unwrap();
        url.set_path(&name);
        Self { name, url }
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.url.socket_addrs(|| Some(5432)).unwrap()[0]
    }

    /// The same database by way of another address.
    pub fn through(&self, address: SocketAddr) -> url::Url {
        let mut url = self.url.clone();
        url.set_ip_host(address.ip()).unwrap();
        url.set_port(Some(address.port())).unwrap();
        url
    }

    pub async fn drop_it(&self) {
        let mut connection = superuser().await;
        sqlx::query(sqlx::AssertSqlSafe(format!("drop database if exists {} with (force)", self.name)))
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

fn cluster() -> String {
    std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL names a cluster; bin/test starts one")
}

async fn superuser() -> sqlx::PgConnection {
    sqlx::PgConnection::connect_with(&PgConnectOptions::from_str(&cluster()).unwrap()).await.unwrap()
}
