select * from m.b
