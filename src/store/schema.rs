// @generated automatically by Diesel CLI.

diesel::table! {
    accounts (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        kind -> Text,
        customer_id -> Nullable<Uuid>,
        name -> Nullable<Text>,
        balance -> Int8,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    addresses (merchant_id, customer_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        customer_id -> Uuid,
        contact -> Text,
        phone -> Text,
        place -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    alerts (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        kind -> Text,
        order_id -> Nullable<Uuid>,
        payment_id -> Nullable<Uuid>,
        refund_id -> Nullable<Uuid>,
        detail -> Text,
        raised_at -> Timestamptz,
        resolved_at -> Nullable<Timestamptz>,
        resolved_by -> Nullable<Text>,
    }
}

diesel::table! {
    cart_lines (merchant_id, customer_id, goods_id) {
        merchant_id -> Int8,
        customer_id -> Uuid,
        goods_id -> Int8,
        count -> Int4,
        is_selected -> Bool,
        added_at -> Timestamptz,
    }
}

diesel::table! {
    carts (merchant_id, customer_id) {
        merchant_id -> Int8,
        customer_id -> Uuid,
        id -> Uuid,
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    categories (merchant_id, id) {
        merchant_id -> Int8,
        id -> Int8,
        name_zh -> Text,
        name_en -> Text,
        position -> Int4,
    }
}

diesel::table! {
    customers (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        provider -> Text,
        subject -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    entries (merchant_id, account_id, cause) {
        merchant_id -> Int8,
        account_id -> Uuid,
        cause -> Text,
        delta -> Int8,
        balance -> Int8,
        order_id -> Nullable<Uuid>,
        actor -> Text,
        reason -> Nullable<Text>,
        made_at -> Timestamptz,
    }
}

diesel::table! {
    event_counters (merchant_id) {
        merchant_id -> Int8,
        last_seq -> Int8,
    }
}

diesel::table! {
    events (merchant_id, seq) {
        merchant_id -> Int8,
        seq -> Int8,
        kind -> Text,
        order_id -> Nullable<Uuid>,
        goods_id -> Nullable<Int8>,
        state -> Nullable<Text>,
        happened_at -> Timestamptz,
    }
}

diesel::table! {
    gateway_notices (merchant_id, gateway, id) {
        merchant_id -> Int8,
        gateway -> Text,
        id -> Text,
        number -> Text,
        transaction -> Text,
        amount -> Numeric,
        body -> Text,
        outcome -> Text,
        received_at -> Timestamptz,
        check_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    goods (merchant_id, id) {
        merchant_id -> Int8,
        id -> Int8,
        product_id -> Int8,
        spec_zh -> Text,
        spec_en -> Text,
        price -> Numeric,
        stock -> Int4,
        sales -> Int8,
        on_sale -> Bool,
        position -> Int4,
        daily_stock -> Nullable<Int4>,
        sold_out_units -> Nullable<Int4>,
        grant_account_id -> Nullable<Uuid>,
        grant_kind -> Nullable<Text>,
        grant_per_unit -> Nullable<Int8>,
    }
}

diesel::table! {
    leases (merchant_id, name) {
        merchant_id -> Int8,
        name -> Text,
        token -> Nullable<Text>,
        fence -> Int8,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    merchants (id) {
        id -> Int8,
        name_zh -> Text,
        name_en -> Text,
        time_zone -> Text,
        opens_at -> Nullable<Time>,
        closes_at -> Nullable<Time>,
        paused -> Bool,
        minimum_amount -> Numeric,
        freight -> Numeric,
        free_freight_from -> Nullable<Numeric>,
        unpaid_minutes -> Int4,
        accept_minutes -> Int4,
        created_at -> Timestamptz,
        day_starts_at -> Time,
        auto_accept -> Bool,
        accept_timeout -> Text,
        customer_cancels -> Bool,
        points_per_yuan -> Int4,
        points_earned_per_yuan -> Int4,
        points_earned_on -> Text,
        webhook_url -> Nullable<Text>,
        webhook_secret -> Nullable<Text>,
        stock_day -> Nullable<Date>,
        keys_purged_to -> Nullable<Timestamptz>,
        offers_dine_in -> Bool,
        offers_pickup -> Bool,
        offers_delivery -> Bool,
        takes_cash -> Bool,
        complete_after_minutes -> Nullable<Int4>,
    }
}

diesel::table! {
    order_events (merchant_id, order_id, seq) {
        merchant_id -> Int8,
        order_id -> Uuid,
        seq -> Int4,
        from_state -> Text,
        to_state -> Text,
        actor -> Text,
        reason -> Nullable<Text>,
        happened_at -> Timestamptz,
        #[sql_name = "move"]
        move_ -> Text,
        note -> Nullable<Text>,
    }
}

diesel::table! {
    order_grants (merchant_id, order_id, goods_id) {
        merchant_id -> Int8,
        order_id -> Uuid,
        goods_id -> Int8,
        account_id -> Nullable<Uuid>,
        kind -> Nullable<Text>,
        amount -> Int8,
    }
}

diesel::table! {
    order_lines (merchant_id, order_id, goods_id) {
        merchant_id -> Int8,
        order_id -> Uuid,
        goods_id -> Int8,
        position -> Int2,
        name_zh -> Text,
        name_en -> Text,
        spec_zh -> Text,
        spec_en -> Text,
        price -> Numeric,
        count -> Int4,
        returned_count -> Int4,
        refunded_count -> Int4,
    }
}

diesel::table! {
    orders (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        customer_id -> Uuid,
        idempotency_key -> Nullable<Text>,
        request_hash -> Nullable<Bytea>,
        state -> Text,
        fulfilment -> Text,
        table_no -> Nullable<Text>,
        contact -> Nullable<Text>,
        phone -> Nullable<Text>,
        place -> Nullable<Text>,
        pay_method -> Text,
        goods_amount -> Numeric,
        freight -> Numeric,
        total -> Numeric,
        remark -> Text,
        pay_by -> Nullable<Timestamptz>,
        accept_by -> Nullable<Timestamptz>,
        placed_at -> Timestamptz,
        points_used -> Int8,
        points_amount -> Numeric,
        cart_id -> Nullable<Uuid>,
        paid_at -> Nullable<Timestamptz>,
        pickup_day -> Nullable<Date>,
        pickup_no -> Nullable<Int4>,
        promised_at -> Nullable<Timestamptz>,
        nudged_at -> Nullable<Timestamptz>,
        complete_by -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    outbox (merchant_id, id) {
        merchant_id -> Int8,
        id -> Int8,
        order_id -> Nullable<Uuid>,
        kind -> Text,
        happened_at -> Timestamptz,
        goods_id -> Nullable<Int8>,
        state -> Nullable<Text>,
    }
}

diesel::table! {
    payments (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        order_id -> Uuid,
        gateway -> Text,
        state -> Text,
        amount -> Numeric,
        transaction -> Nullable<Text>,
        actor -> Text,
        created_at -> Timestamptz,
        settled_at -> Nullable<Timestamptz>,
        channel -> Nullable<Text>,
        expires_at -> Nullable<Timestamptz>,
        check_at -> Nullable<Timestamptz>,
        checks -> Int4,
        attempt_id -> Nullable<Uuid>,
        fence -> Int8,
    }
}

diesel::table! {
    pickup_counters (merchant_id, day) {
        merchant_id -> Int8,
        day -> Date,
        last_no -> Int4,
    }
}

diesel::table! {
    products (merchant_id, id) {
        merchant_id -> Int8,
        id -> Int8,
        category_id -> Int8,
        name_zh -> Text,
        name_en -> Text,
        position -> Int4,
        image_url -> Nullable<Text>,
    }
}

diesel::table! {
    refunds (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        payment_id -> Uuid,
        order_id -> Uuid,
        state -> Text,
        amount -> Numeric,
        reason -> Text,
        note -> Nullable<Text>,
        actor -> Text,
        attempts -> Int4,
        created_at -> Timestamptz,
        settled_at -> Nullable<Timestamptz>,
        round -> Int4,
        check_at -> Timestamptz,
        failures -> Int4,
        trouble -> Nullable<Text>,
        request_hash -> Nullable<Bytea>,
        by_hand -> Bool,
    }
}

diesel::table! {
    staff (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        login -> Text,
        name -> Text,
        password_hash -> Text,
        role -> Text,
        is_active -> Bool,
        tokens_from -> Timestamptz,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    staff_actions (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        staff_id -> Uuid,
        action -> Text,
        subject -> Text,
        detail -> Jsonb,
        done_at -> Timestamptz,
    }
}

diesel::table! {
    stock_moves (merchant_id, goods_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        goods_id -> Int8,
        delta -> Int4,
        reason -> Text,
        actor -> Text,
        moved_at -> Timestamptz,
        note -> Nullable<Text>,
    }
}

diesel::table! {
    tickets (merchant_id, order_id, copy) {
        merchant_id -> Int8,
        order_id -> Uuid,
        copy -> Int4,
        staff_id -> Uuid,
        printed_at -> Timestamptz,
    }
}

diesel::table! {
    webhook_deliveries (merchant_id, seq) {
        merchant_id -> Int8,
        seq -> Int8,
        state -> Text,
        attempts -> Int4,
        due_at -> Timestamptz,
        last_status -> Nullable<Int4>,
        last_error -> Nullable<Text>,
        delivered_at -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(categories -> merchants (merchant_id));
diesel::joinable!(customers -> merchants (merchant_id));
diesel::joinable!(staff -> merchants (merchant_id));

diesel::allow_tables_to_appear_in_same_query!(
    accounts,
    addresses,
    alerts,
    cart_lines,
    carts,
    categories,
    customers,
    entries,
    event_counters,
    events,
    gateway_notices,
    goods,
    leases,
    merchants,
    order_events,
    order_grants,
    order_lines,
    orders,
    outbox,
    payments,
    pickup_counters,
    products,
    refunds,
    staff,
    staff_actions,
    stock_moves,
    tickets,
    webhook_deliveries,
);
