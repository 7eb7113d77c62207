//! What the modifiers of an access say: its space, its order, and hints to caches.

use super::Modifiers;
use crate::ptx::LoadError;
use crate::ptx::program::{AccessSpace, Order};

pub const SCOPES: [&str; 4] = ["cta", "cluster", "gpu", "sys"];
const EVICTION: [&str; 5] = [
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
];
const SECOND_EVICTION: [&str; 3] = ["L2::evict_last", "L2::evict_normal", "L2::evict_first"];
const PREFETCH_SIZES: [&str; 3] = ["L2::64B", "L2::128B", "L2::256B"];

/// What a load or store says of itself before its type.
pub struct Access {
    pub space: AccessSpace,
    /// Whether it synchronizes, by itself or with fences.
    pub strong: bool,
    /// The fence that comes with it.
    pub order: Order,
    /// Whether an operand tells a cache what to do.
    pub hint: bool,
}

/// The state space that comes next; generic if none does.
pub fn space(m: &mut Modifiers) -> AccessSpace {
    match m.accept_any(&[
        "global",
        "const",
        "shared",
        "shared::cta",
        "local",
        "param",
        "param::entry",
        "param::func",
    ]) {
        Some("global" | "const") => AccessSpace::Global,
        Some("shared" | "shared::cta") => AccessSpace::Shared,
        Some("local") => AccessSpace::Local,
        Some(_) => AccessSpace::Parameter,
        None => AccessSpace::Generic,
    }
}

/// The modifiers of a load, in PTX's order; what caches do has no effect here, and is known all the same.
pub fn of_load(m: &mut Modifiers) -> Result<Access, LoadError> {
    let strength = m.accept_any(&["weak", "volatile", "relaxed", "acquire"]);
    let ordered = matches!(strength, Some("relaxed" | "acquire"));
    if ordered {
        m.expect_any(&SCOPES)?;
    }
    let global = m.at("global");
    let constant = m.at("const");
    let space = space(m);
    let private = constant || matches!(space, AccessSpace::Local | AccessSpace::Parameter);
    m.require(!private || matches!(strength, None | Some("weak")))?;
    let mut hint = false;
    if strength != Some("volatile") {
        let cached = !ordered && m.accept_any(&["ca", "cg", "cs", "lu", "cv"]).is_some();
        let weak = matches!(strength, None | Some("weak"));
        let read_only = weak && global && m.accept("nc");
        if !cached || read_only {
            m.accept_any(&EVICTION);
            m.accept_any(&SECOND_EVICTION);
        }
        hint = m.accept("L2::cache_hint");
        m.accept_any(&PREFETCH_SIZES);
    }
    let order = if strength == Some("acquire") {
        Order::Acquire
    } else {
        Order::None
    };
    Ok(Access {
        space,
        strong: ordered || strength == Some("volatile"),
        order,
        hint,
    })
}

/// The modifiers of a store.
pub fn of_store(m: &mut Modifiers) -> Result<Access, LoadError> {
    let strength = m.accept_any(&["weak", "volatile", "relaxed", "release"]);
    let ordered = matches!(strength, Some("relaxed" | "release"));
    if ordered {
        m.expect_any(&SCOPES)?;
    }
    m.require(!m.at("const"))?;
    let space = space(m);
    let private = matches!(space, AccessSpace::Local | AccessSpace::Parameter);
    m.require(!private || matches!(strength, None | Some("weak")))?;
    let mut hint = false;
    if strength != Some("volatile") {
        let cached = !ordered && m.accept_any(&["wb", "cg", "cs", "wt"]).is_some();
        if !cached {
            m.accept_any(&EVICTION);
            m.accept_any(&SECOND_EVICTION);
        }
        hint = m.accept("L2::cache_hint");
    }
    let order = if strength == Some("release") {
        Order::Release
    } else {
        Order::None
    };
    Ok(Access {
        space,
        strong: ordered || strength == Some("volatile"),
        order,
        hint,
    })
}

/// The modifiers of an atomic operation, up to the operation.
pub fn of_atomic(m: &mut Modifiers, returns: bool) -> Result<(AccessSpace, Order), LoadError> {
    let orders = ["relaxed", "release", "acquire", "acq_rel"];
    let order = match m.accept_any(if returns { &orders } else { &orders[..2] }) {
        Some("acquire") => Order::Acquire,
        Some("release") => Order::Release,
        Some("acq_rel") => Order::Both,
        _ => Order::None,
    };
    let scoped = m.accept_any(&SCOPES).is_some();
    m.require(!m.at("const"))?;
    let space = space(m);
    m.require(!matches!(space, AccessSpace::Local | AccessSpace::Parameter))?;
    if !scoped {
        // The older order.
        m.accept_any(&SCOPES);
    }
    Ok((space, order))
}
