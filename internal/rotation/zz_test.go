package rotation
import ("testing";"regexp";"fmt";"os")
func TestZZ(t *testing.T){
 re:=regexp.MustCompile(`[0-9a-f]{16}|([0-9]+h)?([0-9]+m)?[0-9.]+m?s\b|[0-9]+`)
 best:=map[string]uint64{}; n:=map[string]int{}; l:=map[string]int{}
 verb,con:=Rotate,false
 if os.Getenv("ZZ")=="repair"{verb=Repair}
 if os.Getenv("ZC")!=""{con=true}
 for seed:=range uint64(60000){
  s:=randomStory(verb,con,seed)
  if w:=s.tell();w!=""{ k:=re.ReplaceAllString(w,"#"); n[k]++; if b,ok:=l[k];!ok||len(s.path)<b{l[k]=len(s.path);best[k]=seed}}
 }
 for k,seed:=range best{ s:=randomStory(verb,con,seed); out:=explain(s); fmt.Printf("=== %d x %s\nseed %d lag %s life %s\n%s\n\n",n[k],k,seed,s.lag,s.timing.SignatureLife,out)}
}
