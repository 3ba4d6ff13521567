local refusal = gone()
if refusal then return refusal end
renew()
return {'ok'}
