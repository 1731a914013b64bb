select * from "in".things
