// @generated automatically by Diesel CLI.

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
    }
}

diesel::table! {
    orders (merchant_id, id) {
        merchant_id -> Int8,
        id -> Uuid,
        customer_id -> Uuid,
        idempotency_key -> Text,
        request_hash -> Bytea,
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
    }
}

diesel::table! {
    outbox (merchant_id, id) {
        merchant_id -> Int8,
        id -> Int8,
        order_id -> Uuid,
        kind -> Text,
        happened_at -> Timestamptz,
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
    }
}

diesel::joinable!(categories -> merchants (merchant_id));
diesel::joinable!(customers -> merchants (merchant_id));

diesel::allow_tables_to_appear_in_same_query!(
    addresses,
    categories,
    customers,
    goods,
    merchants,
    order_events,
    order_lines,
    orders,
    outbox,
    products,
    stock_moves,
);
