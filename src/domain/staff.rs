//! The staff's roles, and the one table of who may do what.

use super::moves::Move;
use super::names::names;

/// What a member of the staff is to the merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs the business: everything, the staff's accounts included.
    Owner,
    /// Runs the restaurant: everything but the staff's accounts.
    Manager,
    /// Stands at the counter: takes orders on, hands them over, takes cash in.
    Cashier,
    /// Cooks.
    Kitchen,
}

names!(Role { Owner = "owner", Manager = "manager", Cashier = "cashier", Kitchen = "kitchen" });

/// One thing that may be permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See orders, and be told of what happens.
    ReadOrders,
    /// Accept, reject, delay.
    AcceptOrders,
    /// Prepare, ready, recall.
    CookOrders,
    /// Deliver, complete.
    HandOverOrders,
    /// Take cash in.
    CollectCash,
    /// Cancel orders, before and after they are accepted.
    CancelOrders,
    /// Pay money back.
    RefundOrders,
    /// Export orders with the customers' contacts.
    ExportOrders,
    /// See the menu with what is not on sale, stock and its history.
    ReadMenu,
    /// Say that goods are sold out, or no longer.
    MarkSoldOut,
    /// Change stock by hand.
    MoveStock,
    /// Change categories, products, goods and prices.
    EditMenu,
    /// See customers' and other accounts with their entries.
    ReadAccounts,
    /// Change an account's balance by an entry, and add accounts.
    CorrectAccounts,
    /// See turnover.
    ReadStatistics,
    /// See and change the merchant's settings.
    EditSettings,
    /// See and change the staff's accounts.
    ManageStaff,
    /// See who of the staff did what.
    ReadActions,
}

names!(Permission {
    ReadOrders = "read_orders",
    AcceptOrders = "accept_orders",
    CookOrders = "cook_orders",
    HandOverOrders = "hand_over_orders",
    CollectCash = "collect_cash",
    CancelOrders = "cancel_orders",
    RefundOrders = "refund_orders",
    ExportOrders = "export_orders",
    ReadMenu = "read_menu",
    MarkSoldOut = "mark_sold_out",
    MoveStock = "move_stock",
    EditMenu = "edit_menu",
    ReadAccounts = "read_accounts",
    CorrectAccounts = "correct_accounts",
    ReadStatistics = "read_statistics",
    EditSettings = "edit_settings",
    ManageStaff = "manage_staff",
    ReadActions = "read_actions",
});

impl Permission {
    /// What a member of the staff needs to make a move; nothing for those that only others make.
    pub const fn to_make(made: Move) -> Option<Self> {
        match made {
            Move::Accept | Move::Reject | Move::Delay => Some(Self::AcceptOrders),
            Move::Prepare | Move::Ready | Move::Recall => Some(Self::CookOrders),
            Move::Deliver | Move::Complete => Some(Self::HandOverOrders),
            Move::Collect => Some(Self::CollectCash),
            Move::Cancel => Some(Self::CancelOrders),
            Move::Refund => Some(Self::RefundOrders),
            Move::Pay | Move::Nudge => None,
        }
    }
}

impl Role {
    /// The table.
    pub const fn has(self, permission: Permission) -> bool {
        use Permission::{
            AcceptOrders, CancelOrders, CollectCash, CookOrders, CorrectAccounts, EditMenu, EditSettings, ExportOrders,
            HandOverOrders, ManageStaff, MarkSoldOut, MoveStock, ReadAccounts, ReadActions, ReadMenu, ReadOrders,
            ReadStatistics, RefundOrders,
        };
        let (owner, manager, cashier, kitchen) = match permission {
            ReadOrders | ReadMenu | MarkSoldOut | CookOrders => (true, true, true, true),
            AcceptOrders | HandOverOrders | CollectCash | ReadAccounts => (true, true, true, false),
            CancelOrders | RefundOrders | ExportOrders | MoveStock | EditMenu | CorrectAccounts | ReadStatistics
            | EditSettings | ReadActions => (true, true, false, false),
            ManageStaff => (true, false, false, false),
        };
        match self {
            Self::Owner => owner,
            Self::Manager => manager,
            Self::Cashier => cashier,
            Self::Kitchen => kitchen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_do_what() {
        let mut table = String::new();
        for permission in Permission::ALL {
            let roles: Vec<&str> =
                Role::ALL.iter().filter(|role| role.has(*permission)).map(|role| role.name()).collect();
            table += &format!("{permission}: {}\n", roles.join(" "));
        }
        assert_eq!(
            table,
            "\
read_orders: owner manager cashier kitchen
accept_orders: owner manager cashier
cook_orders: owner manager cashier kitchen
hand_over_orders: owner manager cashier
collect_cash: owner manager cashier
cancel_orders: owner manager
refund_orders: owner manager
export_orders: owner manager
read_menu: owner manager cashier kitchen
mark_sold_out: owner manager cashier kitchen
move_stock: owner manager
edit_menu: owner manager
read_accounts: owner manager cashier
correct_accounts: owner manager
read_statistics: owner manager
edit_settings: owner manager
manage_staff: owner
read_actions: owner manager
"
        );
    }
}
