"""Cases from the field: what people of this field did, and what they are told or get."""
