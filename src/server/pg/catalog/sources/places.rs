//! The database, schemas and roles.

use std::sync::Arc;

use datafusion::arrow::array::BooleanArray;
use datafusion::error::Result;

use crate::server::pg::catalog::objects::{DATABASE_OID, OWNER, OWNER_OID, SCHEMAS, role_oid, schema_oid};
use crate::server::pg::catalog::rows::{Rows, booleans, numbers, oids, same, text_lists, texts};
use crate::server::pg::catalog::world::World;
use crate::server::pg::session::DATABASE;

/// UTF8.
pub const ENCODING: i32 = 6;

pub fn pg_namespace(_: World) -> Result<Rows> {
    Ok(Rows::new(SCHEMAS.len(), |name| {
        let all = SCHEMAS.iter();
        Some(match name {
            "oid" => oids(all.map(|schema| schema_oid(schema))),
            "nspname" => texts(all),
            "nspowner" => oids(all.map(|_| OWNER_OID)),
            _ => return None,
        })
    }))
}

pub fn pg_database(_: World) -> Result<Rows> {
    Ok(Rows::new(1, |name| {
        Some(match name {
            "oid" => oids([DATABASE_OID].into_iter()),
            "datname" => same(DATABASE, 1),
            "datdba" => oids([OWNER_OID].into_iter()),
            "encoding" => numbers([ENCODING].into_iter()),
            "datlocprovider" => same("c", 1),
            "datallowconn" => booleans([true].into_iter()),
            "datconnlimit" => numbers([-1].into_iter()),
            "dattablespace" => oids([1663].into_iter()),
            "datcollate" | "datctype" => same("C.UTF-8", 1),
            _ => return None,
        })
    }))
}

/// Of `pg_authid` too.
pub fn pg_roles(world: World) -> Result<Rows> {
    let (roles, groups) = (world.roles(), world.groups());
    Ok(Rows::new(roles.len(), move |name| {
        let all = roles.iter();
        Some(match name {
            "oid" => oids(all.map(|role| role_oid(role))),
            "rolname" => texts(all),
            "rolinherit" => booleans(all.map(|_| true)),
            "rolcanlogin" => booleans(all.map(|role| !is_group(&groups, role))),
            "rolsuper" | "rolcreaterole" | "rolcreatedb" | "rolreplication" | "rolbypassrls" => {
                Arc::new(BooleanArray::from(vec![false; roles.len()]))
            }
            "rolconnlimit" => numbers(all.map(|_| -1)),
            "rolpassword" => same("********", roles.len()),
            "rolconfig" => text_lists(all.map(|_| None)),
            _ => return None,
        })
    }))
}

fn is_group(groups: &[String], role: &str) -> bool {
    groups.iter().any(|group| group == role)
}

/// Which user has which role.
pub fn pg_auth_members(world: World) -> Result<Rows> {
    let members = world.session.members().to_vec();
    Ok(Rows::new(members.len(), move |name| {
        let all = members.iter();
        Some(match name {
            "roleid" => oids(all.map(|(_, role)| role_oid(&role.to_string()))),
            "member" => oids(all.map(|(user, _)| role_oid(user))),
            "grantor" => oids(all.map(|_| OWNER_OID)),
            "admin_option" => booleans(all.map(|_| false)),
            _ => return None,
        })
    }))
}

/// Of `pg_shadow` too.
pub fn pg_user(world: World) -> Result<Rows> {
    let groups = world.groups();
    let roles: Vec<String> = world.roles().into_iter().filter(|role| !is_group(&groups, role)).collect();
    Ok(Rows::new(roles.len(), move |name| {
        let all = roles.iter();
        Some(match name {
            "usename" => texts(all),
            "usesysid" => oids(all.map(|role| role_oid(role))),
            "usecreatedb" | "usesuper" | "userepl" | "usebypassrls" => booleans(all.map(|_| false)),
            "passwd" => same("********", roles.len()),
            _ => return None,
        })
    }))
}

pub fn schemata(_: World) -> Result<Rows> {
    Ok(Rows::new(SCHEMAS.len(), |name| {
        Some(match name {
            "catalog_name" => same(DATABASE, SCHEMAS.len()),
            "schema_name" => texts(SCHEMAS.iter()),
            "schema_owner" => same(OWNER, SCHEMAS.len()),
            _ => return None,
        })
    }))
}

pub fn catalog_name(_: World) -> Result<Rows> {
    Ok(Rows::new(1, |name| (name == "catalog_name").then(|| same(DATABASE, 1))))
}

pub fn character_sets(_: World) -> Result<Rows> {
    Ok(Rows::new(1, |name| {
        Some(match name {
            "character_set_name" | "form_of_use" => same("UTF8", 1),
            "character_repertoire" => same("UCS", 1),
            "default_collate_catalog" => same(DATABASE, 1),
            _ => return None,
        })
    }))
}

pub fn enabled_roles(world: World) -> Result<Rows> {
    let user = world.session.user.clone();
    Ok(Rows::new(1, move |name| (name == "role_name").then(|| same(&user, 1))))
}

/// What the user was given.
pub fn applicable_roles(world: World) -> Result<Rows> {
    let user = world.session.user.clone();
    let members = world.session.members().iter().filter(|(name, _)| *name == user);
    let roles: Vec<String> = members.map(|(_, role)| role.to_string()).collect();
    Ok(Rows::new(roles.len(), move |name| {
        Some(match name {
            "grantee" => same(&user, roles.len()),
            "role_name" => texts(roles.iter()),
            "is_grantable" => same("NO", roles.len()),
            _ => return None,
        })
    }))
}
