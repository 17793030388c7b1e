ALTER TABLE order_lines
    ADD CONSTRAINT order_lines_goods_fkey FOREIGN KEY (merchant_id, goods_id) REFERENCES goods (merchant_id, id);
