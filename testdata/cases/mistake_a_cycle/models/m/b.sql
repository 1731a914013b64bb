select * from m.a
