-- What every load orders from. Merchant 1 has 1,000 goods for `spread` (10001 to 11000), one for `hot` (11001) and one that is
-- sold out (11002), and 1,000 customers; merchants 2 to 501, for `many`, have 20 goods and 4 customers each. Goods and
-- customer k of merchant m have the number m * 10000 + k, and a customer's uuid has that number's digits: scripts can make
-- them up.
-- Orders wait for an answer longer than everything is measured: else timers would call off in one cell what was placed in another.
INSERT INTO merchants (id, name_zh, name_en, time_zone, accept_minutes, created_at)
    SELECT m, '店', 'Shop', 'Asia/Shanghai', 120, now() FROM generate_series(1, 501) m;
INSERT INTO customers (merchant_id, id, provider, subject, created_at)
    SELECT m, lpad((m * 10000 + k)::text, 32, '0')::uuid, 'sandbox', 'customer ' || k, now()
    FROM generate_series(1, 501) m CROSS JOIN LATERAL generate_series(1, CASE m WHEN 1 THEN 1000 ELSE 4 END) k;
INSERT INTO categories (merchant_id, id, name_zh, name_en, position)
    SELECT m, m, '菜', 'Dishes', 1 FROM generate_series(1, 501) m;
INSERT INTO products (merchant_id, id, category_id, name_zh, name_en, position)
    SELECT m, m * 10000 + k, m, '饺子', 'Dumplings', k
    FROM generate_series(1, 501) m CROSS JOIN LATERAL generate_series(1, CASE m WHEN 1 THEN 1002 ELSE 20 END) k;
INSERT INTO goods (merchant_id, id, product_id, spec_zh, spec_en, price, stock, position)
    SELECT merchant_id, id, id, '大份', 'Large', 12.50, CASE id WHEN 11002 THEN 0 ELSE 1000000000 END, position FROM products;
INSERT INTO stock_moves (merchant_id, id, goods_id, delta, reason, actor, moved_at)
    SELECT merchant_id, gen_random_uuid(), id, stock, 'opening', 'bench', now() FROM goods WHERE stock > 0;
