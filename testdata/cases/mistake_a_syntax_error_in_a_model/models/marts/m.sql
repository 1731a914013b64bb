select a frm in.things wher
