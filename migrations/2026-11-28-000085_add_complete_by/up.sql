-- Until when somebody has to say that the customer has an order that is ready or on its way; then it is completed by itself.
ALTER TABLE orders ADD COLUMN complete_by timestamptz;
