"""What was trained, put to use: one photograph or a stream of them, without a trainer."""
