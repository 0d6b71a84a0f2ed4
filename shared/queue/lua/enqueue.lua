-- parts: now count wake put
return put(1, 1)
