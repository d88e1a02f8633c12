-- Numbers the checkpoints as they are inserted. The column that has the numbers is added to LangGraph's table once that is
-- there: checkpoints/order.py.
CREATE SEQUENCE IF NOT EXISTS checkpoint_order;
