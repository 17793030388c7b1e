ALTER TABLE order_lines
    ADD CONSTRAINT order_lines_order_fkey FOREIGN KEY (merchant_id, order_id) REFERENCES orders (merchant_id, id);
