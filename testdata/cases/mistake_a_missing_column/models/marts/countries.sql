select t.contry from "in".things t
