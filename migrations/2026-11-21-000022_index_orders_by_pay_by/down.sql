DROP INDEX orders_pay_by_index;
