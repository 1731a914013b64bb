select * from in_.thingz
