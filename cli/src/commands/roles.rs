//! `restroy roles`.

use restroy_sdk::api::role::{NewRole, Role, RolePatch};

use crate::{
    args::Roles,
    context::Context,
    failure::Outcome,
    find,
    output::{print, table},
};

/// Lists a team's roles or the permissions there are, makes, changes or deletes a role.
pub(crate) async fn roles(context: &Context, args: &Roles) -> Outcome {
    let client = context.client()?;
    if args.permissions {
        let permissions = find::all(async |paging| client.permissions(&paging).await).await?;
        if context.json {
            return context.show(&permissions, |_| String::new());
        }
        let rows = permissions.into_iter().map(|permission| [permission.name, permission.description]);
        print(&table(["PERMISSION", "ALLOWS TO"], rows));
        return Ok(());
    }
    let team = find::team(&client, args.team.as_deref()).await?;
    if let Some(name) = &args.create {
        let description = args.description.clone().unwrap_or_default();
        let role = NewRole { name: name.clone(), description, permissions: args.allow.clone() };
        let role = client.create_role(team.id, &role).await?;
        return context.show(&role, |role| format!("role {} made: {}", role.name, role.permissions.join(", ")));
    }
    if let Some(wanted) = &args.change {
        let permissions = (!args.allow.is_empty()).then(|| args.allow.clone());
        let patch = RolePatch { name: args.name.clone(), description: args.description.clone(), permissions };
        let role = client.update_role(team.id, wanted, &patch).await?;
        return context.show(&role, |role| format!("role {}: {}", role.name, role.permissions.join(", ")));
    }
    if let Some(wanted) = &args.delete {
        client.delete_role(team.id, wanted).await?;
        print(&format!("role {wanted} deleted"));
        return Ok(());
    }
    let roles = find::all(async |paging| client.roles(team.id, &paging).await).await?;
    if context.json {
        return context.show(&roles, |_| String::new());
    }
    let rows = roles.into_iter().map(|Role { name, built_in, permissions, description, .. }| {
        [name, if built_in { "built in" } else { "" }.into(), permissions.len().to_string(), description]
    });
    print(&table(["ROLE", "", "PERMISSIONS", "FOR"], rows));
    Ok(())
}
