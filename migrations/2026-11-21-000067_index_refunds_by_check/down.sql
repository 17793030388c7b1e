DROP INDEX refunds_check_at_index;
